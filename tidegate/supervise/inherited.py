"""What this process was started with, and Python has changed since: the command gets it as it was.

At its start Python ignores SIGPIPE and SIGXFSZ, whatever they were before, and may add LC_CTYPE to the environment. The
kernel still knows the environment of the exec; the two dispositions are noted by the launcher (cext/launch.c) before
Python begins. Without the launcher (`python -m tidegate`) they count as not ignored, which is how most programs start.
"""

import os
import signal
from typing import NamedTuple

IGNORED_AT_START = b"TIDEGATE_IGNORED_SIGNALS"
"""The launcher's variable: numbers of signals, with commas in between."""
_CHANGED_BY_PYTHON = frozenset({int(signal.SIGPIPE), int(signal.SIGXFSZ)})
_PIDS = (b"LISTEN_PID", b"WATCHDOG_PID")
_PIDFD_ID = b"LISTEN_PIDFDID"


class Inherited(NamedTuple):
    environment: dict[bytes, bytes]
    ignored: frozenset[int]
    """Signals that were ignored when this process started."""
    mask: frozenset[int]
    """Signals that were blocked."""
    pid: int

    @classmethod
    def look(cls) -> "Inherited":
        """Call it before any disposition or mask is changed."""
        with open("/proc/self/environ", "rb") as file:
            entries = [entry.partition(b"=") for entry in file.read().split(b"\0") if b"=" in entry]
        environment = {name: value for name, _, value in entries}
        noted = environment.pop(IGNORED_AT_START, b"")
        ignored = (_ignored_now() - _CHANGED_BY_PYTHON) | {int(one) for one in noted.split(b",") if one.isdigit()}
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return cls(environment, frozenset(ignored), frozenset(map(int, blocked)), os.getpid())

    def restore_signals(self) -> None:
        """In the child that becomes the command."""
        for number in _CHANGED_BY_PYTHON | {int(signal.SIGCHLD)}:
            signal.signal(number, signal.SIG_IGN if number in self.ignored else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    def environment_of_child(self) -> dict[bytes, bytes]:
        """In the child: as it was, but what names this process names the child. A service manager that passes sockets,
        or waits for a sign of life, says to which process; a program that finds another one's id takes neither."""
        found = dict(self.environment)
        for name in _PIDS:
            if found.get(name) == str(self.pid).encode():
                found[name] = str(os.getpid()).encode()
        if found.get(_PIDFD_ID) == _pidfd_id(self.pid):
            found[_PIDFD_ID] = _pidfd_id(os.getpid())
        return found


def _ignored_now() -> set[int]:
    with open("/proc/self/status", "rb") as file:
        bits = next(int(line.split()[1], 16) for line in file if line.startswith(b"SigIgn:"))
    return {number for number in range(1, signal.NSIG) if bits >> (number - 1) & 1}


def _pidfd_id(pid: int) -> bytes:
    pidfd = os.pidfd_open(pid)
    try:
        return str(os.fstat(pidfd).st_ino).encode()
    finally:
        os.close(pidfd)
