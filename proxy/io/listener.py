"""Accepting: the listening sockets of one direction, watched by the event loop, drained in bounded batches."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from proxy.core.addresses import SocketAddress
from proxy.core.lanes import Direction
from proxy.io.bind import BoundListener
from proxy.io.upstream import EXHAUSTED

BATCH = 64
"""Connections accepted a wake-up and socket, so that a flood of them does not starve everything else on the loop."""
CLOSING_BATCHES = 128
"""At most while closing: more than any backlog holds, but an end in sight under a flood."""


@dataclass(frozen=True, slots=True)
class ListenerEvents:
    """accepted takes the socket over; False: no more for now (the listeners have been paused). exhausted gets the errno
    when descriptors or memory ran out; the connection stays in the backlog, and the listeners have to be paused, for
    the loop would call again at once. error gets any other errno of accept. accepted_all: no more waits, or this was
    enough for one time; called at the end of every batch."""

    accepted: Callable[[Direction, int, socket.socket, SocketAddress], bool]
    exhausted: Callable[[int], None]
    error: Callable[[int], None]
    accepted_all: Callable[[], None]


class Listener:
    """Owns its sockets until `close`. Belongs to the event loop. Starts paused."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, direction: Direction, bound: BoundListener, events: ListenerEvents
    ) -> None:
        self.direction = direction
        self.port = bound.port
        self.addresses = [str(sock.getsockname()[0]) for sock in bound.sockets]
        self.transparent = bound.transparent
        self.accepted = 0
        self.state = "paused"
        self._loop = loop
        self._sockets = bound.sockets
        self._events = events

    def resume(self) -> None:
        if self.state == "paused":
            self.state = "accepting"
            for sock in self._sockets:
                self._loop.add_reader(sock, self._accept_batch, sock)

    def pause(self) -> None:
        if self.state == "accepting":
            self.state = "paused"
            for sock in self._sockets:
                self._loop.remove_reader(sock)

    def close(self, *, drain_backlog: bool) -> None:
        """Stop for good. Closing a listening socket resets the connections in its backlog, whose clients believe
        themselves connected: with drain_backlog they are accepted first, unless the listener was paused."""
        if drain_backlog and self.state == "accepting":
            for sock in self._sockets:
                for _ in range(CLOSING_BATCHES):
                    if self.state != "accepting" or not self._accept_batch(sock):
                        break
        self.pause()
        self.state = "closed"
        for sock in self._sockets:
            sock.close()

    def _accept_batch(self, sock: socket.socket) -> bool:
        """True when there may be more to accept at once."""
        try:
            return self._accept(sock)
        finally:
            self._events.accepted_all()

    def _accept(self, sock: socket.socket) -> bool:
        accepted = self._events.accepted
        for _ in range(BATCH):
            try:
                downstream, peer = sock.accept()
            except BlockingIOError:
                return False
            except OSError as failed:
                if failed.errno in EXHAUSTED:
                    self._events.exhausted(failed.errno or 0)
                    return False
                # accept() also reports errors of the connection that it would have given: it is gone, go on.
                self._events.error(failed.errno or 0)
                continue
            downstream.setblocking(False)
            self.accepted += 1
            if not accepted(self.direction, self.port, downstream, peer):
                return False
        return True
