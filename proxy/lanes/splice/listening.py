"""The lane's listening sockets: the engine serves them from `open` on. A proxy that takes over may share them."""

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cext.engine.acceptor import Acceptor
from cext.engine.values import Original
from proxy.core.lanes import Direction
from proxy.lanes.terms import SCOPES
from proxy.start.bind import BoundListener, is_transparent

DRAIN_BACKLOG_MS = 500
"""Closing a listening socket resets the connections in its backlog, whose clients believe to be connected: they are
served first. A listener that is paused serves no connection, and is not waited for any longer."""


@dataclass(frozen=True, slots=True)
class LaneListener:
    """A direction's listening sockets, and how connections that arrive there are treated."""

    direction: Direction
    bound: BoundListener
    original: Original
    mark: int = 0
    keepalive_s: int = 0
    sources: tuple[str, ...] = ()
    """What upstream sockets are bound to, at most one address a family."""
    explicit: bool = False
    """A plain HTTP proxy: clients say where each request goes."""
    as_client: bool = False
    """Whether the workload is called from its client's address where capture has left that as it was."""


class Listening:
    """Belongs to the event loop. Owns the sockets from `open` to `close`. Listeners are named by their index."""

    def __init__(self, lane: Acceptor, listeners: Iterable[LaneListener]) -> None:
        self.listeners = tuple(listeners)
        self.shared = False
        """Another process has the sockets too: they must not be shut down, and their backlogs are that process's."""
        self.state = "paused"
        self._lane = lane
        self._numbers: dict[int, list[int]] = {}
        self._accepted: dict[int, int] = {}
        """By listening sockets that the engine does not have any more."""
        self._fds: dict[int, list[int]] = {}
        """The sockets, which are the engine's: only to be looked at, and only while it has them."""
        self._kept: dict[int, list[socket.socket]] = {}
        """Our duplicates of sockets that another process serves."""

    def open(self) -> None:
        """Begin to accept. The sockets are the engine's from now on."""
        self._serve({index: one.bound.sockets for index, one in enumerate(self.listeners)})

    def close(self) -> None:
        """Stop accepting for good. Connections that wait in the backlogs are let in first, as far as the limit
        allows."""
        if self.shared:
            self.step_back()
        for index, numbers in self._numbers.items():
            self._accepted[index] = self.accepted(index)
            for number in numbers:
                self._lane.unlisten(number, DRAIN_BACKLOG_MS)
        self._forget()
        self.let_go()
        self.state = "closed"

    def descriptors(self) -> list[int]:
        """Of all sockets that the engine listens on: to be shown to another process, and not to be closed."""
        return [fd for fds in self._fds.values() for fd in fds]

    def step_back(self) -> None:
        """Another process serves the sockets from now on. Undone by `take_back`."""
        for index, numbers in self._numbers.items():
            self._accepted[index] = self.accepted(index)
            self._kept[index] = [socket.socket(fileno=os.dup(fd)) for fd in self._fds[index]]
            for number in numbers:
                self._lane.leave(number)
        self._forget()
        self.state = "handed over"

    def take_back(self) -> None:
        """The other process has died: the sockets are served here again."""
        kept, self._kept = self._kept, {}
        self.shared = False
        self._serve(kept)

    def let_go(self) -> None:
        """What was stepped back from is never taken back."""
        for sock in (sock for kept in self._kept.values() for sock in kept):
            sock.close()
        self._kept = {}

    def accepted(self, index: int) -> int:
        """How many connections the listener has accepted here."""
        before = self._accepted.get(index, 0)
        return before + sum(self._lane.accepted(number) for number in self._numbers.get(index, ()))

    def transparent(self, index: int) -> bool:
        """Whether the listener takes what TPROXY delivers, as of now: the companion suits it to the capture in
        force."""
        return bool(self._fds.get(index)) and all(is_transparent(fd) for fd in self._fds[index])

    def _serve(self, sockets: Mapping[int, Iterable[socket.socket]]) -> None:
        for index, those in sockets.items():
            self._fds[index] = [sock.fileno() for sock in those]
            self._numbers[index] = [self._listen(self.listeners[index], sock) for sock in those]
        self.state = "accepting"

    def _forget(self) -> None:
        self._numbers.clear()
        self._fds.clear()

    def _listen(self, one: LaneListener, sock: socket.socket) -> int:
        number = self._lane.listen(
            sock.fileno(),
            scope=SCOPES[one.direction],
            original=one.original,
            mark=one.mark,
            keepalive_s=one.keepalive_s,
            # The hairpin that `--self-calls hairpin` asks for. It can't go round: the inbound side's own connection is
            # not allowed to arrive anywhere.
            hairpin_from=SCOPES[Direction.OUTBOUND] if one.direction is Direction.INBOUND else None,
            sources=one.sources,
            inbound=one.direction is Direction.INBOUND,
            explicit=one.explicit,
            as_client=one.as_client,
        )
        sock.detach()
        return number
