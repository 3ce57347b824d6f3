"""The process that `init --helper` leaves, or becomes, for a proxy that was never root.

Such a proxy cannot start a companion, so nobody would watch its capture or carry its Services to the kernel. It asks
the helper for one, over a unix socket of the network namespace. The kernel says who asks: only root and the users that
capture exempts get one. The helper reads one word; everything after it is between the proxy and its own companion, as
if the proxy had been started as root.
"""

import contextlib
import os
import signal
import socket
import time
from enum import StrEnum
from functools import partial

from intercept.errors import CaptureError, PrivilegeMissing, Unsupported
from intercept.host.privilege import has
from intercept.lock import changing_capture
from intercept.plan.rules import Plan
from proxy.start import seccomp
from proxy.start.helper import NAME, SERVE
from tidegate import processes
from tidegate.beside import left_behind, warden
from tidegate.beside.calls import CAPTURE
from tidegate.beside.privileges import COMPANION, NUMBERS, confine

MOST = 4
"""Proxies at a time: one that takes over from another, and room for those that have just ended."""
PAUSE_S = 0.5
"""Between two proxies: each costs two processes, and one that was broken into may ask without end."""
BEAT_S = 0.5
ABANDONED_S = 5.0
_COMM = "tidegate-helper"


class Wanted(StrEnum):
    OFF = "off"
    LEAVE = "leave"
    STAY = "stay"


def require(wanted: Wanted) -> None:
    """Raises CaptureError where there can't be such a helper. Call it before capture is changed."""
    if wanted is Wanted.OFF:
        return
    if wanted is Wanted.LEAVE and os.getpid() == 1:
        raise Unsupported(
            "--helper leave: this container ends with init, and every process that init leaves with it; "
            "--helper stay makes init the helper, in a container that goes on"
        )
    for name in sorted(COMPANION, key=NUMBERS.__getitem__):
        if not has(NUMBERS[name]):
            raise PrivilegeMissing(name, f"be the helper of a proxy without root (--helper {wanted})")


def suit(applied: Plan, wanted: Wanted, *, wait_s: float, filtered: bool) -> tuple[str, ...]:
    """Have a helper left behind exactly if it is wanted. Warnings. Call it after a change of capture, with one thread.

    A helper that serves another port or other users ends, and so does one that stays elsewhere when none is wanted.
    """
    if wanted is not Wanted.LEAVE and not left_behind.names(NAME):
        return ()
    with changing_capture(wait_s):
        needed = _name(applied) if wanted is Wanted.LEAVE else None
        there = False
        for name, channel in left_behind.left(NAME):
            with channel:
                there = there or name == needed
                if name != needed:
                    left_behind.end(channel)
        if needed is None or there:
            return ()
        if not left_behind.fork_away(needed, partial(_live, applied, filtered=filtered)):
            return ("--helper leave: the process that was to stay ended; run init again",)
    return _unfiltered(filtered=filtered)


def stay(applied: Plan, *, filtered: bool) -> None:
    """Be the helper. Returns on SIGTERM or SIGINT, or when `cleanup` or another `init` says so."""
    door = left_behind.open_door(_name(applied))
    with door, contextlib.suppress(_Told):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _raise_told)  # as a container's first process we get only those that we handle
        confine(COMPANION, CAPTURE if filtered else None)
        _Helper(applied, door).serve(forever=True)


def dismiss() -> None:
    """End every helper of this network namespace; returns when they have gone."""
    left_behind.dismiss(NAME)


class _Told(Exception):
    """The process was told to end."""


def _raise_told(_number: int, _frame: object) -> None:
    raise _Told


def _unfiltered(*, filtered: bool) -> tuple[str, ...]:
    why_not = seccomp.why_not() if filtered else None
    if why_not is None:
        return ()
    return (f"{_COMM} may make every system call: {why_not} (--seccomp off: as it is meant)",)


def _name(plan: Plan) -> str:
    users = "-".join(map(str, sorted(plan.intent.exempt.uids)))
    return f"{NAME}{plan.intent.listeners.outbound}/{users}"


def _live(plan: Plan, door: socket.socket, tell: int, *, filtered: bool) -> None:
    left_behind.settle(_COMM, door, tell)
    confine(COMPANION, CAPTURE if filtered else None)
    left_behind.say_ready(tell)
    _Helper(plan, door).serve(forever=False)


class _Helper:
    def __init__(self, plan: Plan, door: socket.socket) -> None:
        self._port = plan.intent.listeners.outbound
        self._served = frozenset({0, os.geteuid(), *plan.intent.exempt.uids})
        self._door = door
        self._wardens: set[int] = set()
        self._next = 0.0
        """Not before then is another proxy served."""

    def serve(self, *, forever: bool) -> None:
        """Returns when it was told to end, or, unless `forever`, when nobody else is left in the network namespace."""
        looked = time.monotonic()
        try:
            while not self._hear(time.monotonic() + BEAT_S):
                self._reap()
                if not forever and time.monotonic() - looked >= ABANDONED_S:
                    looked = time.monotonic()
                    if left_behind.alone():
                        return
        finally:
            for pid in self._wardens:  # their companions end with them
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _hear(self, until: float) -> bool:
        """Take one connection, if any comes before that time. Returns whether it says that we are to end."""
        channel = left_behind.wait(self._door, until)
        if channel is None:
            return False
        peer = left_behind.peer(channel)
        said = left_behind.heard(channel, 16) if peer.uid in self._served else b""
        if said == left_behind.END and peer.uid in (0, os.geteuid()):
            channel.detach()  # its end is the answer: it comes when we have gone
            return True
        if said == SERVE and len(self._wardens) < MOST and time.monotonic() >= self._next:
            self._next = time.monotonic() + PAUSE_S
            self._start(peer.pid, channel)
        channel.close()
        return False

    def _start(self, proxy: int, channel: socket.socket) -> None:
        helper = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            return  # the connection is closed, and the proxy asks again
        if pid != 0:
            self._wardens.add(pid)
            return
        try:
            processes.die_with_parent()
            self._door.close()
            if os.getppid() == helper:
                _keep(proxy, channel, self._port)
        finally:
            os._exit(0)

    def _reap(self) -> None:
        """Also what the wardens had started: as a container's first process we inherit it."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                self._wardens.discard(ended)


def _keep(proxy: int, channel: socket.socket, port: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes.set_name("tidegate-warden")
    with contextlib.suppress(CaptureError):
        warden.keep_for(proxy, channel, port)
