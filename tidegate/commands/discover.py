"""`tidegate discover`: who talks to whom, to know what there is to capture."""

import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidegate.commands.options import json_option, netns_option

if TYPE_CHECKING:
    from intercept.discover.looking import Looking
    from intercept.discover.scope import Scope

LOOK_S = 0.2
SHOW_S = 1.0
CAPTURE_FILE, SERVICES_FILE = "capture.yaml", "services.yaml"


@click.command()
@netns_option
@click.option("--everywhere", is_flag=True, help="all network namespaces, not this one alone")
@click.option("--cgroup", metavar="PATH", help="only processes in this cgroup v2 folder")
@click.option("--unit", metavar="NAME", help="only the processes of a systemd unit")
@click.option("--pid", metavar="PID", help="only this process and those that it starts")
@click.option("--duration", metavar="S", default="10", help="how long to look; 0: until Ctrl-C  [10]")
@click.option("--write", metavar="DIR", help="propose Capture, Services and EndpointSlices in files there")
@json_option
def discover(
    *,
    netns: str | None,
    everywhere: bool,
    cgroup: str | None,
    unit: str | None,
    pid: str | None,
    duration: str,
    write: str | None,
    as_json: bool,
) -> int:
    """Watch who talks to whom here: calls, bytes, durations, failures, and whether they are (or would be) captured.

    On a terminal a table lives while it looks; Ctrl-C ends it with what it has. Changes nothing, and what it puts into
    the kernel ends with it. Without python3-bpfcc, or without the rights, it polls, and says what that loses.
    """
    from intercept.discover.looking import looking
    from intercept.intent.from_flags import seconds
    from tidegate.netns import enter

    limit_s = seconds("--duration", duration)
    scope, theirs = _scope(everywhere, cgroup, unit, pid)
    folder = None if write is None else _folder_for(write)
    enter(netns or theirs)
    with looking(scope) as look, _asked_to_end() as asked:
        print("looking; Ctrl-C ends it" if not limit_s else f"looking for {limit_s:g} s", end="", file=sys.stderr)
        print(f" ({look.how})", file=sys.stderr, flush=True)
        for sentence in look.losses:
            print(f"not seen: {sentence}", file=sys.stderr, flush=True)
        _look_on(look, asked, limit_s)
        found, lost = look.found(), look.lost
    if as_json:
        calls = [one.as_dict() for one in found]
        click.echo(json.dumps({"calls": calls, "lost": lost, "how": look.how, "not_seen": list(look.losses)}))
    else:
        from tidegate.discovering.table import plain

        print("\n".join(plain(found)))
        if lost:
            click.echo(f"{lost} more calls found no room to be counted", err=True)
    if folder is not None:
        from intercept.host.cgroups import path_of
        from tidegate.discovering import propose

        name = None if scope.folder is None else path_of(scope.folder)
        _write(folder, propose.capture(found, name), propose.services(found))
    return 0


def _look_on(look: "Looking", asked: socket.socket, limit_s: float) -> None:
    from tidegate.discovering.table import LiveTable

    end = time.monotonic() + limit_s if limit_s else None
    size = shutil.get_terminal_size()
    shown_at = 0.0
    with LiveTable(sys.stderr, size.columns, size.lines) as live:
        while True:
            look.look()
            now = time.monotonic()
            if live.is_shown and now - shown_at >= SHOW_S:
                shown_at = now
                live.show(look.found())
            pause_s = LOOK_S if end is None else min(LOOK_S, end - now)
            if pause_s <= 0 or select.select([asked], [], [], pause_s)[0]:
                look.look()
                return


def _scope(everywhere: bool, cgroup: str | None, unit: str | None, pid: str | None) -> "tuple[Scope, str | None]":
    """And the network namespace of the processes that were named."""
    from intercept.discover.scope import Scope
    from intercept.errors import BadInput
    from intercept.host.cgroups import find_mount_point
    from intercept.host.processes import process_id
    from intercept.intent import parsing

    if sum(one is not None for one in (cgroup, unit, pid)) > 1:
        raise BadInput("--pid, --unit, --cgroup", "several of them", "one of them")
    if pid is not None:
        number = process_id(pid)
        return Scope(everywhere, None, number), None if everywhere else f"/proc/{number}/ns/net"
    if unit is not None:
        from onboard.enroll.selector import Selector, resolve

        target = resolve(Selector("unit", unit))
        return Scope(everywhere, target.folder), None if everywhere else target.netns
    if cgroup is None:
        return Scope(everywhere), None
    mount = find_mount_point()
    path = parsing.cgroup("--cgroup", cgroup, None if mount is None else str(mount))
    folder = None if mount is None or path is None else mount / path
    if folder is None or not folder.is_dir():
        raise BadInput("--cgroup", cgroup, "a cgroup v2 folder that exists")
    return Scope(everywhere, folder), None


@contextmanager
def _asked_to_end() -> Iterator[socket.socket]:
    """Readable once a signal asks us to end: what was seen so far is still to be told then."""
    reader, writer = socket.socketpair()
    with reader, writer:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: writer.shutdown(socket.SHUT_RDWR))
        yield reader


def _folder_for(text: str) -> Path:
    """Judged before we begin to look; nothing that is there is overwritten."""
    from intercept.errors import BadInput

    folder = Path(text).absolute()
    there = folder if folder.exists() else folder.parent
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise BadInput("--write", text, "a folder that can be written, or the name of a new one")
    for name in (CAPTURE_FILE, SERVICES_FILE):
        if (folder / name).exists():
            raise BadInput("--write", text, f"a folder without a file {name}: nothing is overwritten")
    return folder


def _write(folder: Path, capture: str, services: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in ((CAPTURE_FILE, capture), (SERVICES_FILE, services)):
        if text:
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
            click.echo(f"written: {folder / name}", err=True)
    click.echo(f"next: tidegate config check {folder}", err=True)
