"""`tidegate tap`: requests and connections as they end."""

import contextlib
import json
import shutil
import sys

import click

from tidegate.admin import DEFAULT
from tidegate.commands.options import json_option, netns_option


@click.command()
@click.option("--service", metavar="S", default="", help="NAME or NAMESPACE/NAME")
@click.option("--route", metavar="R", default="", help="requests that this route took")
@click.option("--status", metavar="5xx", default="", help="statuses and classes, comma separated")
@click.option("--path", metavar="PREFIX", default="", help="what the path begins with")
@click.option("--source", metavar="IP", default="", help="the client's address")
@click.option("--admin", metavar="ADDR", default=DEFAULT, help=f"the proxy's admin address  [{DEFAULT}]")
@netns_option
@json_option
def tap(netns: str | None, admin: str, as_json: bool, **filters: str) -> int:
    """Show requests and connections as they end, from now on, until Ctrl-C.

    The proxy never waits for the viewer: what it could not show is counted and told. Without --json a line is cut to
    the terminal's width.
    """
    from tidegate.admin import Admin
    from tidegate.netns import enter
    from tidegate.tapped import dropped_notice, line

    enter(netns)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    with contextlib.suppress(KeyboardInterrupt):
        for raw in Admin(admin).lines("/tap", **{key: value for key, value in filters.items() if value}):
            told = json.loads(raw)
            if as_json:
                sys.stdout.buffer.write(raw)
                sys.stdout.buffer.flush()
            elif "dropped" in told:
                click.echo(dropped_notice(told["dropped"]), err=True)
            else:
                print(line(told, width), flush=True)
    return 0
