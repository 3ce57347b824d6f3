"""`tidegate init`: put capture in force, then exit."""

import json
from typing import TYPE_CHECKING, Any

import click

from tidegate.commands.options import (
    config_option,
    intent_of,
    intent_options,
    json_option,
    netns_option,
    raw_flags,
    wait_option,
    with_documents,
)

if TYPE_CHECKING:
    from intercept.capture import Applied, Planned


@click.command()
@intent_options
@config_option
@netns_option
@wait_option
@click.option("--dry-run", is_flag=True, help="print the exact plan, change nothing; needs no privilege")
@click.option("--from", "peer", metavar="TOOL", help="read TOOL's flags and environment: istio, linkerd, kuma, consul")
@click.option("--close-existing", is_flag=True, help="reset connections from before capture instead of leaving them be")
@json_option
@click.argument("peer_argv", nargs=-1, type=click.UNPROCESSED, metavar="[-- TOOL'S FLAGS]")
def init(
    *,
    config: tuple[str, ...],
    netns: str | None,
    wait: str,
    dry_run: bool,
    peer: str | None,
    close_existing: bool,
    as_json: bool,
    peer_argv: tuple[str, ...],
    **given: Any,
) -> int:
    """Put capture in force in this network namespace, then exit.

    Applying the same again changes nothing; applying something else replaces it in one step.
    """
    from intercept import capture
    from intercept.errors import BadInput
    from intercept.intent.from_flags import seconds

    if peer is not None:
        if config:
            raise BadInput("--config", "with --from", "one of them: both say what to capture")
        if close_existing:
            raise BadInput("--close-existing", "with --from", "a flag of `init` without --from")
        from tidegate.commands.from_peer import init_from

        return init_from(peer, peer_argv, raw_flags(given), netns=netns, wait=wait, dry_run=dry_run, as_json=as_json)
    if peer_argv:
        raise BadInput("init", peer_argv[0], "flags only; another tool's flags stand after `--from TOOL --`")
    intent = intent_of(with_documents(config, raw_flags(given), capture_required=True))
    wait_s = seconds("--wait", wait)
    if netns is not None:
        from tidegate.netns import enter

        enter(netns)
    if dry_run:
        show_planned(capture.dry_run(intent), as_json)
        return 0
    applied = capture.apply(intent, wait_s=wait_s)
    warn(applied.warnings)
    from tidegate.beside import keeper

    warn(keeper.suit(applied.plan, wait_s=wait_s))
    if not close_existing:
        show_applied(applied, as_json)
        return 0
    from tidegate.commands import existing

    closed = existing.close_existing()
    show_applied(applied, as_json, closed=closed)
    if not as_json:
        click.echo(f"connections from before capture that were closed: {closed}")
    return 0


def warn(warnings: list[str] | tuple[str, ...]) -> None:
    for warning in warnings:
        click.echo(f"tidegate: {warning}", err=True)


def show_applied(applied: "Applied", as_json: bool, **also: object) -> None:
    """`also`: further keys of the JSON object."""
    if as_json:
        click.echo(json.dumps({**applied.as_dict(), **also}))
        return
    click.echo(f"capture in force: {applied.mode} ({applied.why})" + ("" if applied.changed else "; nothing to change"))
    for left_out in applied.not_captured:
        click.echo(f"not captured: {left_out}")


def show_planned(planned: "Planned", as_json: bool, **also: object) -> None:
    """`also`: further keys of the JSON object."""
    click.echo(json.dumps({**planned.as_dict(), **also}) if as_json else planned.text, nl=as_json)
