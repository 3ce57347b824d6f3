"""The cgroup folder of one run. Its name holds the supervisor's identity, which tells a living run's
folder from a dead one's.
"""

import contextlib
import glob
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from intercept import runs
from intercept.errors import PrivilegeMissing
from intercept.host import cgroups

# How long processes that the command left behind get to end by themselves.
GRACE_S = 1.0
ENDING_S = 0.02
_NETNS = "user.tidegate.netns"
"""Attribute of a run's folder: the network namespace that its rules are in."""
_ADMIN = "user.tidegate.admin"
_CAPTURE = "user.tidegate.capture"
"""Two more: where its proxy's admin endpoint is, and what it captures. They go with the folder."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The folder `root` with its two leaves. Owned by the supervisor; `remove` may be called by anyone, repeatedly."""

    root: Path

    @property
    def name(self) -> str:
        """Unique on this host while the supervisor lives; also names its rules."""
        return self.root.name

    @property
    def command(self) -> Path:
        return self.root / "command"

    @property
    def proxy(self) -> Path:
        return self.root / "proxy"

    def left(self) -> list[tuple[int, str]]:
        """The processes that have outlived the command, with their names. One that is ending anyway, as the other end
        of a pipe does, gets a moment for it."""
        deadline = time.monotonic() + ENDING_S
        while (pids := cgroups.processes_in(self.command)) and time.monotonic() < deadline:
            time.sleep(0.002)
        return [(pid, name) for pid in pids if (name := _name_of(pid)) is not None]

    def announce(self, admin_port: int | None) -> None:
        """Where `tap`, `top` and `why` find the proxy. Without the attribute they do not."""
        if admin_port is not None:
            self._note(_ADMIN, f"127.0.0.1:{admin_port}")

    def captures(self, document: str) -> None:
        """What is in force for the command, as `intercept.plan.stored` writes it."""
        self._note(_CAPTURE, document)

    def _note(self, attribute: str, text: str) -> None:
        with contextlib.suppress(OSError):
            os.setxattr(self.root, attribute, text.encode())

    def signal_command(self, number: signal.Signals) -> None:
        _signal_all(self.command, number)

    def end_command(self) -> None:
        """End what the command started and left running: asked first, then made to."""
        _signal_all(self.command, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        while cgroups.processes_in(self.command) and time.monotonic() < deadline:
            time.sleep(0.01)
        kill(self.command)

    def remove(self) -> None:
        """Kill every process in the folder and remove it. Nothing happens when it has gone already."""
        remove(self.root)


def create() -> Scope:
    """Make this process's run folder below its own cgroup.

    Raises PrivilegeMissing, and OSError when cgroup v2 cannot be written for another reason.
    """
    # Below our own folder, so that limits set on the caller go on holding for the command.
    scope = Scope(cgroups.own_folder() / runs.name_for(os.getpid()))
    try:
        scope.root.mkdir()
    except PermissionError:
        what = f"make a cgroup below {scope.root.parent}; capture needs CAP_NET_ADMIN and more: start `run` as root"
        raise PrivilegeMissing("CAP_DAC_OVERRIDE", what) from None
    try:
        with contextlib.suppress(OSError):  # without it, whoever finds the folder takes it for one of its own namespace
            os.setxattr(scope.root, _NETNS, str(_own_netns()).encode())
        scope.command.mkdir()
        scope.proxy.mkdir()
    except OSError:
        scope.remove()
        raise
    return scope


def abandoned(below: Path) -> list[Path]:
    """Run folders anywhere under `below` whose supervisor has died (with a guardian that died as well)."""
    found = []
    for folder, children, _ in os.walk(below):
        for child in list(children):
            if runs.is_run(child) and not runs.lives(child):
                found.append(Path(folder, child))
                children.remove(child)
    return found


class Going(NamedTuple):
    """A run in progress. pid: of its supervisor. admin: its proxy's, in the network namespace of that process."""

    name: str
    pid: int
    admin: str
    command: tuple[int, ...]
    """The processes of its command."""
    document: str
    """What is in force for them; empty: not known."""

    @property
    def netns(self) -> str:
        return f"/proc/{self.pid}/ns/net"


def going(below: Path) -> list[Going]:
    """The runs anywhere under `below` that go on, and whose proxy can be asked; the latest last."""
    found = []
    for folder, children, _ in os.walk(below):
        for child in [one for one in children if runs.is_run(one)]:
            children.remove(child)
            root = Path(folder, child)
            pid, admin = runs.pid_of(child), _noted(root, _ADMIN)
            if pid is not None and admin and runs.start_time(pid) is not None and runs.lives(child):
                command = cgroups.processes_in(root / "command")
                found.append(Going(child, pid, admin, tuple(command), _noted(root, _CAPTURE)))
    return sorted(found, key=lambda one: runs.start_time(one.pid) or 0)


def _noted(root: Path, attribute: str) -> str:
    """Empty: nothing is."""
    try:
        return os.getxattr(root, attribute).decode()
    except OSError:
        return ""


def has_rules_elsewhere(root: Path) -> bool:
    """Whether the run's network namespace is another one than ours, and still there. Its iptables rules name the
    folder, and without it that namespace's tables could not be changed any more (intercept/backends/iptables/gone.py).
    """
    try:
        netns = int(os.getxattr(root, _NETNS))
    except (OSError, ValueError):
        return False
    return netns != _own_netns() and any(_netns_of(path) == netns for path in _netns_files())


def _own_netns() -> int | None:
    return _netns_of("/proc/thread-self/ns/net")


def _netns_of(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _netns_files() -> Iterator[str]:
    """Where a network namespace that is in use can be seen: its processes, and the names that `ip netns` gives."""
    yield from glob.iglob("/run/netns/*")
    yield from glob.iglob("/proc/[0-9]*/ns/net")


def remove(root: Path) -> None:
    if not root.exists():
        return
    kill(root)
    for folder, _, _ in os.walk(root, topdown=False):
        _rmdir(Path(folder))


def kill(folder: Path) -> None:
    """SIGKILL everything below `folder` and wait until it is gone."""
    try:
        (folder / "cgroup.kill").write_text("1")
    except FileNotFoundError:
        # Kernels before 5.14: a process may fork between our reading and our killing, so go round until it is quiet.
        while cgroups.processes_in(folder):
            _signal_all(folder, signal.SIGKILL)
            time.sleep(0.002)
    while cgroups.processes_in(folder):
        time.sleep(0.002)


def _rmdir(folder: Path) -> None:
    # The last process is gone from cgroup.procs a moment before the folder may be removed.
    for _ in range(500):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.002)
        else:
            return
    folder.rmdir()


def _name_of(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:  # it has ended
        return None


def _signal_all(folder: Path, number: signal.Signals) -> None:
    for pid in cgroups.processes_in(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
