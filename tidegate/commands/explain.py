"""`tidegate explain outbound|inbound`: is this connection captured, and why."""

import json
from typing import Any

import click

from tidegate.commands.options import intent_of, intent_options, json_option, netns_option, raw_flags

intent_only = click.option("--intent-only", is_flag=True, help="judge the flags given here, not what is in force")
destination = click.option("--dst", required=True, metavar="IP:PORT", help="where the connection goes")
interface = click.option("--interface", metavar="IF", help="the interface it leaves or arrives by")


@click.group()
def explain() -> None:
    """Tell whether a connection is captured, by which rule and why."""


@explain.command()
@destination
@click.option("--protocol", metavar="tcp|udp", default="tcp", help="[tcp]")
@click.option("--uid", metavar="N", help="the caller's user  [0]")
@click.option("--gid", metavar="N", help="the caller's group  [0]")
@interface
@intent_only
@intent_options
@netns_option
@json_option
def outbound(**given: Any) -> None:
    """A connection that a process here opens."""
    _explain("outbound", ("dst", "protocol", "uid", "gid", "interface"), given)


@explain.command()
@destination
@click.option("--src", metavar="IP", help="where the connection comes from")
@interface
@intent_only
@intent_options
@netns_option
@json_option
def inbound(**given: Any) -> None:
    """A connection that arrives here."""
    _explain("inbound", ("dst", "src", "interface"), given)


def _explain(direction: str, names: tuple[str, ...], given: dict[str, Any]) -> None:
    from intercept.explain_here import explain_here
    from intercept.plan.explain import connection_from_flags
    from tidegate.netns import enter

    flags = raw_flags(given)
    connection = connection_from_flags(direction, {f"--{name}": given[name] for name in names})
    if flags and not given["intent_only"]:
        raise click.UsageError(f"{next(iter(flags))} describes an intent: it needs --intent-only")
    enter(given["netns"])
    decision = explain_here(connection, intent_of(flags) if given["intent_only"] else None)
    if given["as_json"]:
        click.echo(json.dumps(decision.as_dict()))
        return
    where = f" by the listener on port {decision.listener}" if decision.listener is not None else ""
    click.echo(f"{decision.decision}{where}: {decision.reason} (rule {decision.rule}, {decision.mode})")
