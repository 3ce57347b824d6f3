"""The accepting engine on the real kernel: REDIRECT in a namespace of the test, real servers on its loopback.

Connections of the test go to addresses of 10.9.9.0/24 and fd09::/64 on loopback; ports 7000-7999 are redirected to the
engine's listener unless they carry its mark. There is no route out of the namespace.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from cext.engine.acceptor import Acceptor
from cext.engine.engine import Engine
from cext.engine.values import (
    Action,
    Counters,
    Endpoint,
    Punt,
    Record,
    SocketAddress,
    Verdict,
)

PATIENCE_S = 15.0
MARK = 77
OUTBOUND = 1
SERVICE = SocketAddress("10.9.9.1", 7000)
OTHER = SocketAddress("10.9.9.2", 7001)
CLONE_NEWNET = 0x40000000
RULES = """
table inet lane {
    chain output {
        type nat hook output priority -100
        meta mark %d return
        tcp dport 7000-7999 redirect to :%d
    }
    chain drops {
        type filter hook output priority filter
        tcp dport 9999 drop
    }
}
"""


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for: {what}"
        time.sleep(0.005)


class Server:
    """Says its name on connect, then echoes until EOF."""

    def __init__(self, name: str, host: str = "127.0.0.1", port: int = 0, backlog: int = 1000) -> None:
        self.name = name
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family, backlog=backlog)
        self.place = SocketAddress(host, self.listener.getsockname()[1])
        self.accepted = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError as error:
                if error.errno != errno.EMFILE:
                    return
                time.sleep(0.01)  # a test has taken away the descriptors of the whole process for a while
                continue
            self.accepted += 1
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            sock.sendall(self.name.encode() + b"\n")
            while part := sock.recv(1 << 16):
                sock.sendall(part)

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class World:
    """A namespace with an engine that listens where REDIRECT leads."""

    def __init__(self, stack: ExitStack, *, threads: int = 1, capacity: int = 4096, mark: int = MARK) -> None:
        self.stack = stack
        self.engine = Engine(threads=threads, capacity=capacity)
        stack.callback(self.engine.close)
        self.lane = Acceptor(self.engine)
        listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096)
        self.port: int = listener.getsockname()[1]
        self.fd = listener.detach()
        """The listening socket, which is the engine's."""
        self.number = self.lane.listen(self.fd, scope=OUTBOUND, mark=mark)
        subprocess.run(["nft", "-f", "-"], input=RULES % (MARK, self.port), text=True, check=True)
        self.seen: list[Record] = []

    def server(self, name: str, host: str = "127.0.0.1", port: int = 0) -> Server:
        server = Server(name, host, port)
        self.stack.callback(server.close)
        return server

    def connect(self, place: SocketAddress = SERVICE) -> socket.socket:
        sock = socket.create_connection((place.ip, place.port), timeout=PATIENCE_S)
        self.stack.callback(sock.close)
        return sock

    def is_refused(self, place: SocketAddress = SERVICE) -> None:
        """A connection to the place is reset: over loopback perhaps before connect() has returned."""
        with suppress(ConnectionResetError):
            ends_by_reset(self.connect(place))

    def greeting(self, place: SocketAddress = SERVICE) -> str:
        """The name of the server behind the place; a whole connection with half-close and echo."""
        with socket.create_connection((place.ip, place.port), timeout=PATIENCE_S) as sock:
            sock.sendall(b"echo this")
            sock.shutdown(socket.SHUT_WR)
            got = b""
            while part := sock.recv(1000):
                got += part
        name, _, echoed = got.partition(b"\n")
        assert echoed == b"echo this"
        return name.decode()

    def decide(self, verdict: Verdict, place: SocketAddress | None = SERVICE) -> None:
        self.lane.set_verdict(OUTBOUND, place, verdict)

    def records(self, count: int) -> list[Record]:
        """All records so far, at least `count`, waiting on the descriptor as the proxy does."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.seen) < count:
            left = deadline - time.monotonic()
            assert left > 0, f"{len(self.seen)} of {count} records; live: {self.lane.connections()}"
            select.select([self.engine.record_fd], [], [], left)
            self.seen += self.lane.records()
        return self.seen

    def punt(self) -> Punt:
        punts: list[Punt] = []

        def came() -> bool:
            punts.extend(self.lane.punts())
            return bool(punts)

        until(came, "a punt")
        (one,) = punts
        return one

    def counters(self, group: int) -> Counters:
        """Zeros where nothing was ever counted for the group."""
        nothing = Counters(group, 0, 0, 0, (0,) * 7, 0, 0, 0, 0, 0)
        return next((one for one in self.lane.counters() if one.group == group), nothing)


@contextmanager
def own_namespace() -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            for command in (
                "link set lo up",
                "addr add 10.9.9.1/32 dev lo",
                "addr add 10.9.9.2/32 dev lo",
                "addr add fd09::1/128 dev lo nodad",
            ):
                subprocess.run(["ip", *command.split()], check=True)
            yield
        finally:
            assert libc.setns(before, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(before)


def relay_to(*servers: Server, id: int = 1, **more: object) -> Verdict:
    endpoints = tuple(Endpoint(one.place, group=100 + index) for index, one in enumerate(servers))
    return Verdict(Action.RELAY, id=id, group=7, endpoints=endpoints, **more)  # type: ignore[arg-type]


def closed_port() -> SocketAddress:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        return SocketAddress("127.0.0.1", nobody.getsockname()[1])


def ends_by_reset(sock: socket.socket) -> bytes:
    got = b""
    try:
        while part := sock.recv(1000):
            got += part
    except ConnectionResetError:
        return got
    pytest.fail(f"a clean end after {got!r} where a reset was due")
