"""The process that cleans up when the supervisor could not, SIGKILL included.

It is not the supervisor's child (so nothing that ends a process tree takes it along), has its own session and holds
none of the caller's descriptors. It sleeps on a pidfd; when the supervisor ends it undoes the run and ends too.
The supervisor dismisses it after undoing the run itself, and starts another one should it die.
"""

import contextlib
import os
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass

from tidegate import processes
from tidegate.beside import calls, privileges

DISMISSAL_S = 5.0


@dataclass(frozen=True, slots=True)
class Guardian:
    """The supervisor's handle. `pidfd` is owned here and becomes readable when the guardian has ended."""

    pid: int
    pidfd: int

    def dismiss(self) -> None:
        """End the guardian without its doing anything; returns when it has gone."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        select.select([self.pidfd], [], [], DISMISSAL_S)
        os.close(self.pidfd)
        # As a container's first process we inherit orphans, and have to reap them.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


class Post:
    """The guardian's place: filled from the construction until `leave`, also when the guardian in it was killed.

    undo: what the guardian does when this process has ended. filtered: whether it may make the system calls only that
    it needs.
    """

    def __init__(self, undo: Callable[[], None], *, filtered: bool = True) -> None:
        self._undo = undo
        self._filtered = filtered
        self._guardian = post(undo, filtered=filtered)

    def fileno(self) -> int:
        """Readable when the guardian has ended; another descriptor after `replace`."""
        return self._guardian.pidfd

    def replace(self) -> None:
        """The guardian has ended: put another one in its place."""
        os.close(self._guardian.pidfd)
        self._guardian = post(self._undo, filtered=self._filtered)

    def leave(self) -> None:
        """Nothing is left to guard."""
        self._guardian.dismiss()


def post(undo: Callable[[], None], *, filtered: bool = True) -> Guardian:
    """Start a guardian that calls `undo` when this process ends. Call it from a process with one thread.

    `undo` runs in the guardian: it must find the run by name, not through anything that dies with the supervisor.
    """
    supervisor = os.pidfd_open(os.getpid())
    answer, tell = os.pipe()
    try:
        middle = os.fork()
        if middle == 0:
            os.close(answer)
            _leave_family(supervisor, tell, undo, filtered=filtered)
        os.close(tell)
        tell = -1
        # The guardian's parent, the middle process, ends at once; init inherits and reaps the guardian.
        os.waitpid(middle, 0)
        told = os.read(answer, 32)
        if not told:
            raise ChildProcessError("the guardian process ended before it was in place")
        pid = int(told)
        return Guardian(pid, os.pidfd_open(pid))
    finally:
        for fd in (supervisor, answer, tell):
            if fd >= 0:
                os.close(fd)


def _leave_family(supervisor: int, tell: int, undo: Callable[[], None], *, filtered: bool) -> None:
    """In the middle process: fork the guardian and end. Neither returns."""
    try:
        os.setsid()
        if os.fork() == 0:
            _guard(supervisor, tell, undo, filtered=filtered)
    finally:
        os._exit(0)


def _guard(supervisor: int, tell: int, undo: Callable[[], None], *, filtered: bool) -> None:
    processes.set_name("tidegate-guard")
    # A terminal's or a service manager's signals are for the supervisor; we end when it does.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.chdir("/")
    # The supervisor has told already where no filter can be had.
    privileges.confine(privileges.GUARDIAN, calls.CAPTURE if filtered else None)
    processes.keep_only_descriptors(supervisor, tell)
    os.write(tell, str(os.getpid()).encode())
    os.close(tell)
    select.select([supervisor], [], [])
    undo()
