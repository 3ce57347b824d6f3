"""A server that speaks first: one line saying who it is and how it was reached, then it echoes what it gets."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterable
from typing import Any

from tests.lab import wire

MAX_DATAGRAM = 65535
IP_PKTINFO = 8  # Python 3.11's socket module lacks the name
IP_FREEBIND = 15
IPV6_FREEBIND = 78


class BannerServer:
    """Owns its sockets and one thread; `close` ends both. TCP on `ports`, UDP on `udp_ports`, both families each."""

    def __init__(self, who: str, ports: Iterable[int], udp_ports: Iterable[int] = ()) -> None:
        self._who = who
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._sockets: list[socket.socket] = []
        try:
            for port in ports:
                self._register(listen_tcp(port), self._accept)
            for port in udp_ports:
                for family in (socket.AF_INET, socket.AF_INET6):
                    self._register(bind_udp(family, port), self._datagram)
        except OSError:
            self._close_sockets()
            raise
        self._thread = threading.Thread(target=self._run, name=f"server-{who}", daemon=True)
        self._thread.start()

    def _register(self, sock: socket.socket, handler: Any) -> None:
        self._sockets.append(sock)
        self._selector.register(sock, selectors.EVENT_READ, handler)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._close_sockets()
                    return
                key.data(key.fileobj)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, peer = listener.accept()
        except OSError:
            return  # reset before it was accepted
        try:
            connection.sendall(
                wire.line(who=self._who, at=wire.shown(connection.getsockname()), source=wire.shown(peer))
            )
        except OSError:
            connection.close()
            return
        self._selector.register(connection, selectors.EVENT_READ, self._echo)

    def _echo(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65536)
            if data:
                connection.sendall(data)
                return
        except OSError:
            pass  # the client reset it: same end as a close
        self._selector.unregister(connection)
        connection.close()

    def _datagram(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the asker's port may be gone already
            answer_datagram(sock, self._who)

    def _close_sockets(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()

    def close(self) -> None:
        self._waker.send(b"x")
        self._thread.join(5)
        self._waker.close()


def listen_tcp(port: int, *, v4_only: bool = False, transparent: bool = False) -> socket.socket:
    """A listening socket on every address; one dual-stack socket unless `v4_only`."""
    sock = socket.socket(socket.AF_INET if v4_only else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not v4_only:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if transparent:
            sock.setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)
            if not v4_only:
                sock.setsockopt(socket.IPPROTO_IPV6, 75, 1)  # IPV6_TRANSPARENT
        sock.bind(("0.0.0.0" if v4_only else "::", port))
        sock.listen(512)
    except OSError:
        sock.close()
        raise
    return sock


def bind_udp(family: socket.AddressFamily, port: int) -> socket.socket:
    """A UDP socket on every address that learns which one each datagram was sent to."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            sock.bind(("::", port))
        else:
            sock.setsockopt(socket.SOL_IP, IP_PKTINFO, 1)
            sock.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
            sock.bind(("0.0.0.0", port))
    except OSError:
        sock.close()
        raise
    return sock


def answer_datagram(sock: socket.socket, who: str) -> dict[str, object]:
    """Answer one datagram from the very address it was sent to; returns what was said."""
    data, control, _, peer = sock.recvmsg(MAX_DATAGRAM, 256)
    reached = "?"
    reply: list[tuple[int, int, bytes]] = []
    for level, kind, payload in control:
        if (level, kind) == (socket.SOL_IP, IP_PKTINFO):
            # struct in_pktinfo: ifindex, address to send from, destination in the header
            reached = socket.inet_ntop(socket.AF_INET, payload[8:12])
            reply = [(level, kind, b"\0" * 4 + payload[8:12] + b"\0" * 4)]
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            reached = socket.inet_ntop(socket.AF_INET6, payload[:16])
            reply = [(level, kind, payload[:16] + b"\0" * 4)]
    port = sock.getsockname()[1]
    said: dict[str, object] = {
        "who": who,
        "at": wire.show(reached, port),
        "source": wire.shown(peer),
        "asked": data[:64].decode("latin-1"),
    }
    sock.sendmsg([wire.line(**said)], reply, 0, peer)
    return said
