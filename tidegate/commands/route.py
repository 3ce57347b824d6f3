"""`tidegate route`: changes of a running proxy's routes."""

import click

from tidegate.admin import DEFAULT
from tidegate.commands.options import netns_option

MOST_WEIGHT = 1_000_000


@click.group()
def route() -> None:
    """Change a running proxy's routes."""


@route.command("set-weight")
@click.argument("service")
@click.argument("weights", nargs=-1, required=True, metavar="NAME=W [NAME=W…]")
@click.option("--keep", is_flag=True, help="past the next reload of the configuration")
@click.option("--admin", metavar="ADDR", default=DEFAULT, help=f"the proxy's admin address  [{DEFAULT}]")
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
