"""Keeps a companion beside the proxy: starts one, and another one when it has died.

The warden is forked from the process that becomes the proxy, while that is still root: nobody could start a companion,
which is root, later. It reads nothing that the proxy writes, so there is nothing by which a proxy that was broken into
could end it. Each companion gets channels of its own; the proxy's ends of them travel to it as descriptors.
"""

import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from mmap import mmap

from tidegate import processes
from tidegate.beside import calls, companion, privileges

CHANNELS = 3
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
STEADY_S = 60.0
"""A companion that has lived so long is not one of a row that dies at once."""
FAREWELL_S = 1.0
"""How long a companion may take to notice that its proxy has ended."""


def wait_s(deaths: int) -> float:
    """How long to wait after so many deaths in a row (at least one): doubled each time, up to LONGEST_WAIT_S. Pure."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(deaths - 1, 16))


def start(outbound_port: int, *, filtered: bool) -> socket.socket:
    """Fork the warden of the proxy that this process is about to become. Call it before there are threads. filtered:
    whether it and the companion may make the system calls only that they need.

    Returns the socket, owned by the caller, at which the proxy's ends of each companion's channels arrive. It is made
    before the fork and has no name, so nobody else can be at its other end, whatever a workload may bind.
    """
    proxy = os.getpid()
    arrivals, delivery = socket.socketpair()
    if os.fork() != 0:
        delivery.close()
        return arrivals
    try:
        arrivals.close()
        processes.set_name("tidegate-warden")
        # The terminal's and the service manager's signals are the proxy's: it drains, and we end with it. The kernel's
        # death signal would not do: the proxy has become a user who may not signal root, and then none arrives.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        life = os.pidfd_open(proxy)
        if os.getppid() == proxy:
            # Its children keep what it keeps. Where no filter can be had the proxy says so.
            privileges.confine(privileges.COMPANION, calls.CAPTURE if filtered else None)
            _Warden(proxy, life, delivery, outbound_port).keep()
    except Exception as error:
        _say(f"the process that keeps a companion beside the proxy ended: {error}")
    finally:
        os._exit(0)


def keep_for(proxy: int, delivery: socket.socket, port: int) -> None:
    """Keep a companion for the proxy at the other end of `delivery`, which is taken over, until that is closed.

    For a helper, which has confined itself. proxy: its process id, 0 in another PID namespace. port: of the outbound
    listener.
    """
    _Warden(proxy, None, delivery, port).keep()


class _Warden:
    def __init__(self, proxy: int, life: int | None, delivery: socket.socket, port: int) -> None:
        """life: a pidfd, readable when the proxy has ended; None: the end of `delivery` has to do."""
        self._proxy = proxy
        self._life = life
        self._delivery = delivery
        self._port = port
        self._memory = mmap(-1, 1)
        # It closes its end of the delivery first, and says nothing there while it lives.
        self._proxys_ends = (delivery.fileno(),) if life is None else (life, delivery.fileno())
        delivery.setblocking(False)  # a proxy that takes nothing must not keep us from noticing its end

    def keep(self) -> None:
        """Returns when the proxy has ended."""
        deaths = 0
        while True:
            how, steady = self._one_life(again=deaths > 0)
            if how is None:
                return
            deaths = 1 if steady else deaths + 1
            wait = wait_s(deaths)
            _say(f"the companion that watches capture {how}; another one is started in {wait:g} s")
            if self._proxy_ends(wait):
                return

    def _one_life(self, *, again: bool) -> tuple[str | None, bool]:
        """Start a companion and wait for its end: how it ended, and whether it had lived for long. None: the proxy has
        ended."""
        try:
            pid, end = self._start(again=again)
        except ConnectionError:
            return None, False
        except OSError as error:
            return f"could not be started: {error.strerror}", False
        try:
            steady = not _readable(STEADY_S, end, *self._proxys_ends)
            _readable(None, end, *self._proxys_ends)
            if self._proxy_ends(0):
                _readable(FAREWELL_S, end)  # what it is about may need a moment; the kernel kills it when we end
                return None, steady
            _, status = os.waitpid(pid, 0)
            return _in_words(status), steady
        finally:
            os.close(end)

    def _start(self, *, again: bool) -> tuple[int, int]:
        """Its process id, and a pidfd that the caller owns. Raises OSError, and then there is none."""
        theirs: list[socket.socket] = []
        ours: list[socket.socket] = []
        try:
            for _ in range(CHANNELS):
                mine, yours = socket.socketpair()
                ours.append(mine)
                theirs.append(yours)
            pid = os.fork()
            if pid == 0:
                _become_companion(lambda: self._watch(ours, theirs, again=again))
            end = -1
            try:
                end = os.pidfd_open(pid)
                socket.send_fds(self._delivery, [b"+"], [one.fileno() for one in theirs])
            except OSError:
                if end >= 0:
                    os.close(end)
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise
            return pid, end
        finally:
            for sock in (*ours, *theirs):
                sock.close()

    def _watch(self, ours: list[socket.socket], theirs: list[socket.socket], *, again: bool) -> None:
        for sock in (*theirs, self._delivery):
            sock.close()
        if self._life is not None:
            os.close(self._life)
        companion.watch_over(self._proxy, self._port, tuple(ours), self._memory, again=again)

    def _proxy_ends(self, within_s: float) -> bool:
        return _readable(within_s, *self._proxys_ends)


def _become_companion(watch: Callable[[], None]) -> None:
    """In the child, and it never returns."""
    code = 1
    try:
        warden = os.getppid()
        processes.die_with_parent()
        processes.set_name("tidegate-watch")
        if os.getppid() == warden:
            watch()
        code = 0
    except Exception as error:
        _say(f"the companion that watches capture failed: {type(error).__name__}: {error}")
    finally:
        os._exit(code)


def _readable(within_s: float | None, *fds: int) -> bool:
    return bool(select.select(fds, [], [], within_s)[0])


def _in_words(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _say(text: str) -> None:
    with suppress(OSError):  # whoever read our log may have gone, and we go on
        print(f"tidegate: {text}", file=sys.stderr, flush=True)
