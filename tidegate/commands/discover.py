"""`tidegate discover`: who calls whom, to know what there is to capture."""

import json
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from tidegate.commands.options import json_option, netns_option

if TYPE_CHECKING:
    from intercept.discover import Discovered


@click.command()
@netns_option
@click.option("--everywhere", is_flag=True, help="all network namespaces, not this one alone")
@click.option("--cgroup", metavar="PATH", help="only processes in this cgroup v2 folder")
@click.option("--pid", metavar="PID", help="only this process")
@click.option("--duration", metavar="S", default="10", help="how long to look; 0: until Ctrl-C  [10]")
@json_option
def discover(
    *, netns: str | None, everywhere: bool, cgroup: str | None, pid: str | None, duration: str, as_json: bool
) -> int:
    """Watch TCP and UDP calls being made, and tell who makes them, and whether they are (or would be) captured.

    Changes nothing, and what it puts into the kernel ends with it. Needs python3-bpfcc.
    """
    from intercept.discover import discovering
    from intercept.intent.from_flags import seconds
    from tidegate.netns import enter

    limit_s = seconds("--duration", duration)
    enter(netns)
    with discovering(cgroup_text=cgroup, pid_text=pid, everywhere=everywhere) as so_far, _asked_to_end() as asked:
        print("looking; Ctrl-C ends it" if not limit_s else f"looking for {limit_s:g} s", file=sys.stderr, flush=True)
        select.select([asked], [], [], limit_s or None)
        seen = so_far()
    if as_json:
        click.echo(json.dumps({"calls": [one.as_dict() for one in seen.found], "lost": seen.lost}))
    else:
        _show(seen)
    return 0


@contextmanager
def _asked_to_end() -> Iterator[socket.socket]:
    """Readable once a signal asks us to end: what was seen so far is still to be told then."""
    reader, writer = socket.socketpair()
    with reader, writer:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: writer.shutdown(socket.SHUT_RDWR))
        yield reader


def _show(seen: "Discovered") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("process", "pid", "user", "protocol", "destination", "calls", "captured", box=None)
    for one in seen.found:
        verdict = {"capture": "yes", "direct": "no"}.get(one.decision.decision, one.decision.decision)
        when = "" if one.in_force else "would be: "
        captured = f"{when}{verdict} ({one.decision.rule})"
        table.add_row(one.name, str(one.pid), str(one.uid), one.protocol, one.destination, str(one.calls), captured)
    Console(soft_wrap=True).print(table) if seen.found else click.echo("no calls were seen")
    if seen.lost:
        click.echo(f"{seen.lost} more calls found no room to be counted", err=True)
