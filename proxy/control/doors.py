"""The three doors of the control channel, and what may be asked for at each: the supervisor's is a socket that the
proxy was born with, a companion's arrive at one; the tools' has a name, so the kernel is asked who comes."""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping

from proxy.control.accept import Acceptor, Protocols
from proxy.control.arrivals import Arrivals
from proxy.control.channel import ControlConnection, Operation, ToolConnection
from proxy.control.direct import direct_operations
from proxy.control.hand_over import HandOver
from proxy.control.health import Readiness
from proxy.control.supervisor import Supervisor
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.drain import SERVING, Drain
from proxy.start.helper import Search
from proxy.start.startup import Started

NO_HELPER = "no helper looks after capture (--helper required): run `tidegate init --helper leave`, or stay"
HELPER_GONE = "the helper that looked after capture has ended; run `tidegate init --helper leave`, or stay, again"
COMPANION_GONE = "the companion that looks after capture has ended; another one is being started"
WARDEN_GONE = "the companion that looks after capture has ended, and what would start another one; restart the proxy"

_log = logging.getLogger("tidegate.control")


def companion_expected(started: Started) -> bool:
    """Whether a companion will say before readiness whether the kernel takes the direct lane."""
    return started.companions is not None or started.helper_required


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
        after: HandOver,
    ) -> None:
        """common: what all may ask for. companion: what the companion may besides. after: hears who takes over."""
        self._started = started
        self._direct = direct
        self._drain = drain
        self._readiness = readiness
        self._common = common
        self._companion = companion
        self._after = after
        self._acceptor: Acceptor | None = None
        self._arrivals: Arrivals | None = None
        self._search: Search | None = None
        self._watched = True
        """Whether a companion that dies is followed by another one."""
        self._opening: set[asyncio.Task[None]] = set()
        self._companions = 0
        """How many have come; the last one is the one that is there now."""

    def open_to_tools(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._started.control is not None:
            self._acceptor = Acceptor(loop, self._started.control, lambda _: self._tool(), _end_oldest)

    def step_back(self) -> None:
        """Tools are heard by another process from now on. Undone by `take_back`."""
        if self._acceptor is not None:
            self._acceptor.step_back()

    def take_back(self) -> None:
        if self._acceptor is not None:
            self._acceptor.take_back()

    async def open(self, loop: asyncio.AbstractEventLoop, supervisor: Supervisor) -> None:
        """To those that were there before us. Tools come later."""
        if self._started.supervisor is not None:
            await supervisor.greet(self._started.supervisor, lambda lost: self._trusted(self._common, lost))
        if self._started.sought is not None:
            self._search = Search(self._started.sought, loop.call_later, lambda sock: self._found(loop, sock))
        if self._started.companions is not None:
            self._await_companions(loop, self._started.companions)
        elif self._search is not None:
            self._search.begin()
            if self._started.helper_required:
                self._readiness.set_capture(NO_HELPER)

    def close(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()
        if self._arrivals is not None:
            self._arrivals.close()
        if self._search is not None:
            self._search.close()

    def _await_companions(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        def arrived(sockets: list[socket.socket]) -> None:
            task = loop.create_task(self._greet(loop, sockets))
            self._opening.add(task)  # the loop itself refers to its tasks weakly
            task.add_done_callback(self._opening.discard)

        self._watched = True
        self._arrivals = Arrivals(loop, sock, arrived, self._warden_gone)

    def _found(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        _log.info("a helper looks after the capture that feeds this proxy")
        self._await_companions(loop, sock)

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
            self._readiness.set_capture(COMPANION_GONE if self._watched else self._without())

    def _warden_gone(self) -> None:
        self._watched = False
        if self._search is not None:
            self._search.begin()
        if self._drain.state == SERVING:
            self._readiness.set_capture(self._without())

    def _without(self) -> str:
        return WARDEN_GONE if self._search is None else HELPER_GONE

    def _tool(self) -> ToolConnection:
        def gone() -> None:
            if self._acceptor is not None:
                self._acceptor.lost(tool)
            self._after.lost(tool)

        tool = ToolConnection(self._common, gone)
        tool.operations |= self._after.operations(tool)
        return tool


def _end_oldest(protocols: Protocols) -> None:
    oldest = protocols[0]
    if isinstance(oldest, ToolConnection):
        oldest.close()
