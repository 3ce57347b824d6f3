"""An HTTP endpoint: accepts clients, bounds how many there are and how much memory their answers take."""

import asyncio
import socket

from proxy.admin.connection import HttpServerConnection
from proxy.admin.messages import Answer
from proxy.admin.places import who_goes
from proxy.control.accept import Acceptor, Protocols
from proxy.core.addresses import from_sockaddr

PLACES = 64
"""Clients at once. One more takes the place of another (places.py)."""
STREAMS = 8
UNSENT = 4 * 1024 * 1024
"""Bytes of answers that clients have not taken. Beyond that, clients are dropped that have waited longest, but for the
last one."""
BUFFER = 16 * 1024


class HttpEndpoint:
    """Owns the listening socket and the connections until `close`. Belongs to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: socket.socket, answer: Answer) -> None:
        self.answer = answer
        self.keeps_clients = True
        self.buffer = memoryview(bytearray(BUFFER))
        self._loop = loop
        self._connections: dict[HttpServerConnection, None] = {}
        """Oldest first."""
        self._waiting: dict[HttpServerConnection, None] = {}
        self._acceptor = Acceptor(loop, listener, self._made, self._make_room_among)

    def step_back(self) -> None:
        """Another process accepts at the listening socket from now on. Clients that keep their connections are asked
        to come by another one. Undone by `take_back`."""
        self.keeps_clients = False
        self._acceptor.step_back()

    def take_back(self) -> None:
        self.keeps_clients = True
        self._acceptor.take_back()

    def leave(self) -> None:
        self._acceptor.close()

    def __len__(self) -> int:
        return len(self._connections)

    def close(self) -> None:
        self._acceptor.close()
        for connection in list(self._connections):
            connection.abort()

    # What a connection asks for and tells.
    def opened(self, connection: HttpServerConnection) -> None:
        self._connections[connection] = None
        if len(self._connections) > PLACES:
            self._make_room_among(list(self._connections))

    def waits(self, connection: HttpServerConnection) -> None:
        self._waiting = {one: None for one in self._waiting if one.unsent}
        self._waiting[connection] = None
        unsent = sum(one.unsent for one in self._waiting)
        for one in list(self._waiting)[:-1]:  # one answer may be longer than that: /clusters of 10,000 Services is
            if unsent <= UNSENT:
                return
            unsent -= one.unsent
            del self._waiting[one]
            one.abort()

    def may_stream(self) -> bool:
        return sum(one.streaming for one in self._connections) < STREAMS

    def closed(self, connection: HttpServerConnection) -> None:
        self._connections.pop(connection, None)
        self._waiting.pop(connection, None)
        self._acceptor.lost(connection)

    def _make_room_among(self, protocols: Protocols) -> None:
        held = [one for one in self._connections if one in protocols]
        if held:
            goes = held[who_goes([one.peer.ip for one in held])]
            del self._connections[goes]  # its place is free now, not when the loop has got round to it
            goes.abort()

    def _made(self, sock: socket.socket) -> HttpServerConnection:
        peer, local = from_sockaddr(sock.getpeername()), from_sockaddr(sock.getsockname())
        return HttpServerConnection(self._loop, self, peer, local)
