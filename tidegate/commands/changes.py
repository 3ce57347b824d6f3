"""`tidegate route` and `tidegate policy`: what routes and TrafficPolicies say, changed while the proxy runs."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from tidegate.admin import DEFAULT
from tidegate.asking.values import backends, services
from tidegate.commands.options import json_option, netns_option

MOST_WEIGHT = 1_000_000
_LONGEST_PATCH = 1024 * 1024
_admin = click.option("--admin", metavar="ADDR", default=DEFAULT, help=f"the proxy's admin address  [{DEFAULT}]")


@click.group()
def route() -> None:
    """Change a running proxy's routes."""


@route.command("set-weight")
@click.argument("service", shell_complete=services)
@click.argument("weights", nargs=-1, required=True, metavar="NAME=W [NAME=W…]", shell_complete=backends)
@click.option("--keep", is_flag=True, help="past the next reload of the configuration")
@_admin
@netns_option
def set_weight(service: str, weights: tuple[str, ...], keep: bool, admin: str, netns: str | None) -> int:
    """Set weights of backends, in every rule of SERVICE's routes that has them.

    SERVICE is NAME or NAMESPACE/NAME, a NAME is that of a backendRef. In force when the command returns, for new
    requests and connections.
    """
    from tidegate.admin import Admin
    from tidegate.netns import enter

    wanted = dict(_weight(token) for token in weights)
    enter(netns)
    click.echo(Admin(admin).post("/route/weights", {"service": service, "weights": wanted, "keep": keep}))
    return 0


def _weight(token: str) -> tuple[str, int]:
    name, equals, number = token.rpartition("=")
    if not name or not equals or not (number.isascii() and number.isdigit()) or int(number) > MOST_WEIGHT:
        raise click.UsageError(f"{token!r} is not valid: expected NAME=W, with W from 0 to {MOST_WEIGHT}")
    return name, int(number)


@click.group()
def policy() -> None:
    """Change what a TrafficPolicy says of a Service while the proxy runs; gone with the next reload, unless kept.

    SERVICE is NAME or NAMESPACE/NAME.
    """


@policy.command("set")
@click.argument("service", shell_complete=services)
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
@click.argument("service", shell_complete=services)
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
    from mesh.yaml import links

    try:
        data = sys.stdin.buffer.read() if file == "-" else links.read(Path(file), _LONGEST_PATCH + 1)
        if len(data) > _LONGEST_PATCH:
            raise BadInput("--file", file, f"a file of at most {_LONGEST_PATCH} bytes")
        return data.decode()
    except (OSError, UnicodeDecodeError) as wrong:
        raise BadInput("--file", file, f"a file of text that can be read ({wrong})") from None
