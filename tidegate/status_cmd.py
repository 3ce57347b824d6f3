"""`tidegate status`: what is in force."""

import json
from typing import Any

import click

from tidegate.capture_options import json_option, netns_option


@click.command()
@netns_option
@json_option
def status(netns: str | None, as_json: bool) -> int:
    """Tell what is in force in this network namespace. Ends with 1 when it is not as tidegate left it."""
    from intercept import capture
    from tidegate.netns import enter

    enter(netns)
    found = capture.status()
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        _print(found.as_dict())
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
