"""`tidegate tap`: requests and connections as they end."""

import contextlib
import json
import shutil
import sys
from typing import Any

import click

from tidegate.asking.options import whom_options
from tidegate.asking.values import routes, services
from tidegate.commands.options import json_option


@click.command()
@click.option("--service", metavar="S", default="", help="NAME or NAMESPACE/NAME", shell_complete=services)
@click.option("--route", metavar="R", default="", help="requests that this route took", shell_complete=routes)
@click.option("--status", metavar="5xx", default="", help="statuses and classes, comma separated")
@click.option("--path", metavar="PREFIX", default="", help="what the path begins with")
@click.option("--source", metavar="IP", default="", help="the client's address")
@whom_options
@json_option
def tap(*, as_json: bool, service: str, route: str, status: str, path: str, source: str, **given: Any) -> int:
    """Show requests and connections as they end, from now on, until Ctrl-C or until the proxy ends.

    The proxy never waits for the viewer: what it could not show is counted and told. Without --json a line is cut to
    the terminal's width. Where several proxies are asked each line begins with its proxy's name, in JSON `proxy`.
    """
    from tidegate.asking.following import lines
    from tidegate.asking.known import doubts
    from tidegate.asking.whom import asked

    whom = asked(given)
    for sentence in doubts(whom, service, route):
        click.echo(f"tidegate: {sentence}", err=True)
    filters = {"service": service, "route": route, "status": status, "path": path, "source": source}
    several = len(whom) > 1
    with contextlib.suppress(KeyboardInterrupt):
        for one in lines(whom, "/tap", {key: value for key, value in filters.items() if value}):
            if one.raw is None:
                click.echo(f"tidegate: the proxy {'' if not several else one.proxy + ' '}has ended", err=True)
            else:
                _show(one.raw, one.proxy if several else None, as_json)
    return 0


def _show(raw: bytes, proxy: str | None, as_json: bool) -> None:
    from tidegate.tapped import dropped_notice, line

    told = json.loads(raw)
    if as_json:
        sys.stdout.buffer.write(raw if proxy is None else json.dumps({"proxy": proxy, **told}).encode() + b"\n")
        sys.stdout.buffer.flush()
    elif "dropped" in told:
        click.echo(dropped_notice(told["dropped"]), err=True)
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(line(told, width, proxy), flush=True)
