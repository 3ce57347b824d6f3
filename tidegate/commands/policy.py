"""`tidegate policy`: what TrafficPolicies say, changed while the proxy runs."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from tidegate.admin import DEFAULT
from tidegate.commands.options import json_option, netns_option

_admin = click.option("--admin", metavar="ADDR", default=DEFAULT, help=f"the proxy's admin address  [{DEFAULT}]")


@click.group()
def policy() -> None:
    """Change what a TrafficPolicy says of a Service while the proxy runs; gone with the next reload, unless kept.

    SERVICE is NAME or NAMESPACE/NAME.
    """


@policy.command("set")
@click.argument("service")
@click.option("--file", "file", metavar="PATCH", required=True, help="YAML or JSON of spec fields; `-`: standard input")
@click.option("--keep", is_flag=True, help="past the next reload of the configuration")
@_admin
@netns_option
def set_policy(service: str, file: str, keep: bool, admin: str, netns: str | None) -> int:
    """Replace fields of a Service's policy; returns when they are in force.

    Each top-level field of PATCH replaces that field whole, and an empty one removes it. No TrafficPolicy need exist.
    """
    from tidegate.admin import Admin
    from tidegate.netns import enter

    body = {"service": service, "patch": _read(file), "keep": keep}
    enter(netns)
    click.echo(Admin(admin).post("/policy", body))
    return 0


@policy.command("revert")
@click.argument("service")
@_admin
@netns_option
def revert_policy(service: str, admin: str, netns: str | None) -> int:
    """Take back what was set; the documents' own fields are in force again when this returns."""
    from tidegate.admin import Admin
    from tidegate.netns import enter

    enter(netns)
    click.echo(Admin(admin).post("/policy/revert", {"service": service}))
    return 0


@policy.command("list")
@_admin
@netns_option
@json_option
def list_policies(admin: str, netns: str | None, as_json: bool) -> int:
    """Show what is set at run time."""
    from tidegate.admin import Admin
    from tidegate.netns import enter

    enter(netns)
    found: list[dict[str, Any]] = Admin(admin).get("/policy")
    if as_json:
        click.echo(json.dumps(found))
        return 0
    for one in found:
        click.echo(f"{one['service']}: {', '.join(one['fields'])}{' (past reloads)' if one['keep'] else ''}")
    if not found:
        click.echo("nothing is set at run time")
    return 0


def _read(file: str) -> str:
    from intercept.errors import BadInput

    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode()
    except (OSError, UnicodeDecodeError) as wrong:
        raise BadInput("--file", file, f"a file of text that can be read ({wrong})") from None
