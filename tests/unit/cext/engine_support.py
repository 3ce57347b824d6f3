"""What the engine's tests share: pairs of sockets around a relay, and waiting without busy loops."""

from __future__ import annotations

import os
import random
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cext.engine.engine import Completion, Engine

PATIENCE_S = 10.0
SMALL_WINDOW = 16_384
_NOISE = random.Random(20).randbytes(1 << 16)


def noise(offset: int, length: int) -> bytes:
    """`length` bytes of an endless stream, from `offset` on: a byte lost, doubled or moved shows.

    The period is no power of two, so that a lost or doubled buffer shows, too.
    """
    period = 65_521
    begin = offset % period
    repeated = _NOISE[:period] * (2 + (begin + length) // period)
    return repeated[begin : begin + length]


def tcp_pair(*, small: bool = False) -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets over loopback; `small`: with buffers that are soon full.

    The receive buffer is not the smallest: with a window of a few hundred bytes the kernel itself waits for its persist
    timer now and then, for seconds, without any relay in the path.
    """
    with socket.socket() as listener:
        if small:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client = socket.socket()
        if small:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    return client, server


def unix_pair(*, small: bool = False) -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair()
    if small:
        for end in pair:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    return pair


def reset(sock: socket.socket) -> None:
    """Close by RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience_s} s for: {what}"
        time.sleep(0.005)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@dataclass
class Bench:
    """An engine with the ends of its relays. `client` talks to the downstream socket, `server` to the upstream one."""

    engine: Engine
    _next: int = 1
    _ended: dict[int, Completion] = field(default_factory=dict)
    _ends: list[socket.socket] = field(default_factory=list)

    def relay(
        self,
        *,
        small: bool = False,
        pair: Callable[..., tuple[socket.socket, socket.socket]] = tcp_pair,
        early_downstream: bytes = b"",
        early_upstream: bytes = b"",
        idle_timeout_ms: int = 0,
        lifetime_ms: int = 0,
    ) -> tuple[int, socket.socket, socket.socket]:
        client, downstream = pair(small=small)
        upstream, server = pair(small=small)
        number, self._next = self._next, self._next + 1
        self.engine.relay(
            number,
            downstream.fileno(),
            upstream.fileno(),
            early_downstream=early_downstream,
            early_upstream=early_upstream,
            idle_timeout_ms=idle_timeout_ms,
            lifetime_ms=lifetime_ms,
        )
        downstream.detach()
        upstream.detach()
        for end in (client, server):
            end.settimeout(PATIENCE_S)
        self._ends += [client, server]
        return number, client, server

    def completion(self, number: int, patience_s: float = PATIENCE_S) -> Completion:
        deadline = time.monotonic() + patience_s
        while number not in self._ended:
            left = deadline - time.monotonic()
            assert left > 0, f"relay {number} has not ended within {patience_s} s; live: {self.engine.live()}"
            select.select([self.engine.completion_fd], [], [], left)
            for one in self.engine.completions():
                assert one.id not in self._ended, f"two completions for {one.id}"
                self._ended[one.id] = one
        return self._ended[number]

    def close(self) -> None:
        self.engine.close()
        for end in self._ends:
            end.close()


def receive(sock: socket.socket, length: int) -> bytes:
    """Exactly `length` bytes, or what came before the end."""
    parts = []
    while length > 0 and (part := sock.recv(min(length, 1 << 20))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
