"""`tidegate status`: what is in force."""

import json
from typing import Any

import click

from tidegate.commands.options import json_option, netns_option


@click.command()
@netns_option
@click.option("--existing", is_flag=True, help="list connections from before capture, which go past the proxy")
@json_option
def status(netns: str | None, existing: bool, as_json: bool) -> int:
    """Tell what is in force in this network namespace. Ends with 1 when it is not as tidegate left it."""
    from intercept.status import status as read_status
    from tidegate.netns import enter

    enter(netns)
    found = read_status()
    told = found.as_dict()
    if existing:
        from tidegate.commands.existing import list_existing

        told["existing"] = [one.as_dict() for one in list_existing()]
    if as_json:
        click.echo(json.dumps(told))
    else:
        _print(told)
    return 1 if found.drift else 0


def _print(found: dict[str, Any]) -> None:
    if not found["active"]:
        click.echo("no capture is in force here")
        return
    click.echo(f"capture in force: {found['mode']}")
    for title, key in (("scope", "scope"), ("intent", "intent"), ("conntrack", "conntrack")):
        click.echo(f"{title}: {json.dumps(found[key])}")
    for title, key in (("drift", "drift"), ("not captured", "not_captured")):
        for entry in found[key]:
            click.echo(f"{title}: {entry}")
    for one in found.get("existing", ()):
        click.echo(f"from before capture: {one['direction']} {one['workload']} - {one['peer']} (uid {one['uid']})")
