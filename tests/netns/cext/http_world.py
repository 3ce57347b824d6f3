"""Servers that say what a test wants, and what a client hears through the engine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from cext.engine.values import Action, Endpoint, SocketAddress, Speaks, Verdict
from tests.netns.cext.engine_world import World

Talk = Callable[[socket.socket], None]
ANY = SocketAddress("127.0.0.1", 0)


class Web:
    """Runs `talk` on each connection that it accepts; `heard` is all that came on each of them so far."""

    def __init__(self, world: World, talk: Talk, place: SocketAddress = ANY) -> None:
        self._listener = socket.create_server((place.ip, place.port), backlog=100)
        self.place = SocketAddress(place.ip, self._listener.getsockname()[1])
        self._talk = talk
        self.accepted = 0
        world.stack.callback(self._listener.close)
        world.stack.callback(lambda: self._listener.shutdown(socket.SHUT_RDWR))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.accepted += 1
                threading.Thread(target=self._one, args=(sock,), daemon=True).start()

    def _one(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock, suppress(OSError):
            self._talk(sock)


def head(sock: socket.socket, rest: bytes = b"") -> tuple[bytes, bytes]:
    """A head, and what came behind it. Empty: the peer has ended."""
    got = rest
    while b"\r\n\r\n" not in got:
        part = sock.recv(65536)
        if not part:
            return b"", got
        got += part
    end = got.index(b"\r\n\r\n") + 4
    return got[:end], got[end:]


def answering(*answers: bytes) -> Talk:
    """To the n-th request without a body the n-th answer, and the last one to all others."""

    def talk(sock: socket.socket) -> None:
        rest = b""
        for number in range(1000):
            request, rest = head(sock, rest)
            if not request:
                return
            sock.sendall(answers[min(number, len(answers) - 1)])

    return talk


def speaks(web: Web | SocketAddress, how: Speaks = Speaks.HTTP) -> Verdict:
    place = web if isinstance(web, SocketAddress) else web.place
    return Verdict(Action.RELAY, id=1, group=7, endpoints=(Endpoint(place, group=100),), speaks=how)


def heard(sock: socket.socket) -> bytes:
    """All until the end."""
    got = b""
    while part := sock.recv(65536):
        got += part
    return got


def exactly(sock: socket.socket, length: int) -> bytes:
    got = b""
    while len(got) < length:
        part = sock.recv(length - len(got))
        assert part, f"the end after {got!r}"
        got += part
    return got
