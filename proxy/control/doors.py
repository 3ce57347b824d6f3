"""The three doors of the control channel, and what may be asked for at each: the supervisor's and the companion's are
sockets that the proxy was born with; the tools' has a name, so the kernel is asked who comes."""

import asyncio
from collections.abc import Callable, Mapping

from proxy.control.accept import Acceptor, Protocols
from proxy.control.channel import ControlConnection, Operation, ToolConnection
from proxy.control.direct import direct_operations
from proxy.control.health import Readiness
from proxy.control.supervisor import Supervisor
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.drain import SERVING, Drain
from proxy.start.startup import Started

COMPANION_GONE = "the companion that looks after capture has ended; restart the proxy"


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

    async def open(self, loop: asyncio.AbstractEventLoop, supervisor: Supervisor) -> None:
        if self._started.control is not None:
            self._acceptor = Acceptor(loop, self._started.control, lambda _: self._tool(), _end_oldest)
        if self._started.supervisor is not None:
            await supervisor.greet(self._started.supervisor, lambda lost: self._trusted(self._common, lost))
        for sock in self._started.companion:
            channel = self._trusted({**self._common, **self._companion}, self._companion_gone)
            await loop.connect_accepted_socket(lambda made=channel: made, sock)  # type: ignore[misc]

    def close(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()

    def _trusted(self, operations: Mapping[str, Operation], lost: Callable[[], None]) -> ControlConnection:
        """Its peer is also the direct lane's hand in the kernel."""

        def gone() -> None:
            self._direct.lost(channel)
            lost()

        channel = ControlConnection(operations, gone)
        channel.operations |= direct_operations(self._direct, channel)
        return channel

    def _companion_gone(self) -> None:
        if self._drain.state == SERVING:
            self._readiness.set_capture(COMPANION_GONE)

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
