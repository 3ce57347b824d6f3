"""The three doors of the control channel, and what may be asked for at each: the supervisor's is a socket that the
proxy was born with, a companion's arrive at one; the tools' has a name, so the kernel is asked who comes."""

import asyncio
import socket
from collections.abc import Callable, Mapping

from proxy.control.accept import Acceptor, Protocols
from proxy.control.arrivals import Arrivals
from proxy.control.channel import ControlConnection, Operation, ToolConnection
from proxy.control.direct import direct_operations
from proxy.control.health import Readiness
from proxy.control.supervisor import Supervisor
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.drain import SERVING, Drain
from proxy.start.startup import Started

COMPANION_GONE = "the companion that looks after capture has ended; another one is being started"
WARDEN_GONE = "the companion that looks after capture has ended, and what would start another one; restart the proxy"


class Doors:
    """Owns the sockets from `open` to `close`. Belongs to the event loop."""

    def __init__(
        self,
        started: Started,
        direct: DirectLane,
        drain: Drain,
        readiness: Readiness,
        *,
        common: Mapping[str, Operation],
        companion: Mapping[str, Operation],
    ) -> None:
        """common: what all may ask for. companion: what the companion may besides."""
        self._started = started
        self._direct = direct
        self._drain = drain
        self._readiness = readiness
        self._common = common
        self._companion = companion
        self._acceptor: Acceptor | None = None
        self._arrivals: Arrivals | None = None
        self._watched = True
        """Whether a companion that dies is followed by another one."""
        self._opening: set[asyncio.Task[None]] = set()
        self._companions = 0
        """How many have come; the last one is the one that is there now."""

    async def open(self, loop: asyncio.AbstractEventLoop, supervisor: Supervisor) -> None:
        if self._started.control is not None:
            self._acceptor = Acceptor(loop, self._started.control, lambda _: self._tool(), _end_oldest)
        if self._started.supervisor is not None:
            await supervisor.greet(self._started.supervisor, lambda lost: self._trusted(self._common, lost))
        if self._started.companions is not None:

            def arrived(sockets: list[socket.socket]) -> None:
                task = loop.create_task(self._greet(loop, sockets))
                self._opening.add(task)  # the loop itself refers to its tasks weakly
                task.add_done_callback(self._opening.discard)

            self._arrivals = Arrivals(loop, self._started.companions, arrived, self._warden_gone)

    def close(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()
        if self._arrivals is not None:
            self._arrivals.close()

    async def _greet(self, loop: asyncio.AbstractEventLoop, sockets: list[socket.socket]) -> None:
        """A companion has come. What an earlier one's channels still tell of their end says nothing about this one."""
        self._companions = number = self._companions + 1
        for sock in sockets:
            channel = self._trusted({**self._common, **self._companion}, lambda: self._companion_gone(number))
            await loop.connect_accepted_socket(lambda made=channel: made, sock)  # type: ignore[misc]

    def _trusted(self, operations: Mapping[str, Operation], lost: Callable[[], None]) -> ControlConnection:
        """Its peer is also the direct lane's hand in the kernel."""

        def gone() -> None:
            self._direct.lost(channel)
            lost()

        channel = ControlConnection(operations, gone)
        channel.operations |= direct_operations(self._direct, channel)
        return channel

    def _companion_gone(self, number: int) -> None:
        if number == self._companions and self._drain.state == SERVING:
            self._readiness.set_capture(COMPANION_GONE if self._watched else WARDEN_GONE)

    def _warden_gone(self) -> None:
        self._watched = False
        if self._drain.state == SERVING:
            self._readiness.set_capture(WARDEN_GONE)

    def _tool(self) -> ToolConnection:
        def gone() -> None:
            if self._acceptor is not None:
                self._acceptor.lost(tool)

        tool = ToolConnection(self._common, gone)
        return tool


def _end_oldest(protocols: Protocols) -> None:
    oldest = protocols[0]
    if isinstance(oldest, ToolConnection):
        oldest.close()
