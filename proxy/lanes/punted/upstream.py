"""Connecting upstream without blocking, with a deadline, giving up when the client has gone."""

import asyncio
import errno
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cext.engine.acceptor import stand_in
from cext.engine.values import SocketAddress
from proxy.core.addresses import UpstreamSource, from_sockaddr, to_sockaddr
from proxy.core.lanes import Direction
from proxy.core.proxy_protocol import Announced, header
from proxy.lanes.punted.connection import Connection
from proxy.start.sockets import keep_alive, keep_alive_as, name_client

SWEEP_S = 0.1
"""How often deadlines, vanished clients and free descriptors are looked for while anything is connecting."""

_PENDING = (errno.EINPROGRESS, errno.EALREADY, errno.EINTR)
_CONNECTED = (0, errno.EISCONN)
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
"""Too few descriptors or too little memory: passes, unlike what is wrong with one connection."""

DOWNSTREAM_GONE = -1
"""In place of an errno: the client reset its connection while we were still connecting."""
NO_DESCRIPTOR = -2
"""In place of an errno: no descriptor came free for the upstream socket within the connect timeout."""


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """sources: the address to connect from, by address family, where the kernel is not to choose.
    mark: SO_MARK, which needs CAP_NET_ADMIN. as_client: connect from the client's address where capture left the
    addresses of its connection as they were, which needs CAP_NET_RAW."""

    connect_timeout_s: float
    keepalive_s: int
    mark: int | None = None
    sources: Mapping[int, str] = field(default_factory=dict)
    announced: Announced = field(default_factory=dict)
    as_client: bool = False


@dataclass(frozen=True, slots=True)
class ConnectorEvents:
    """source_chosen: our side's address is known; called before the connection can have come back to us. Then exactly
    one of connected (with `upstream` set) and failed (with a positive errno, DOWNSTREAM_GONE or NO_DESCRIPTOR;
    `upstream` closed and None), possibly before `start` returns."""

    source_chosen: Callable[[Connection], None]
    connected: Callable[[Connection], None]
    failed: Callable[[Connection, int], None]


class Connector:
    """All connection attempts under way. Belongs to the event loop. The downstream socket is only looked at."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: Mapping[Direction, UpstreamOptions],
        events: ConnectorEvents,
    ) -> None:
        self._loop = loop
        self._options = options
        self._events = events
        self._attempts: dict[int, Connection] = {}
        self._waiting: dict[int, Connection] = {}  # those of the attempts that have no upstream socket yet
        self._timer: asyncio.TimerHandle | None = None

    def start(self, connection: Connection) -> None:
        """Begin, or begin anew with another endpoint: all of a connection's attempts share one deadline. One for which
        there is no descriptor waits, within its deadline, until there is."""
        if not connection.deadline:
            configured = connection.verdict.timeouts.connect_s
            timeout = self._options[connection.direction].connect_timeout_s if configured is None else configured
            connection.deadline = time.monotonic() + timeout
        self._attempts[connection.id] = connection
        self._open(connection)
        if self._attempts and self._timer is None:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    def cancel(self, connection: Connection) -> None:
        """Give the attempt up without a callback; the upstream socket is closed."""
        if self._attempts.pop(connection.id, None) is not None:
            self._waiting.pop(connection.id, None)
            self._discard(connection)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _open(self, connection: Connection) -> bool:
        """False: no descriptor; the connection waits."""
        upstream = connection.verdict.upstream
        options = self._options[connection.direction]
        family = socket.AF_INET6 if upstream.is_ipv6 else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as failed:
            if failed.errno in EXHAUSTED:
                self._waiting[connection.id] = connection
                return False
            self._fail(connection, failed.errno or errno.EIO)
            return True
        self._waiting.pop(connection.id, None)
        connection.upstream = sock
        try:
            keepalive = connection.verdict.timeouts.keepalive
            if keepalive is not None:
                keep_alive_as(sock, *keepalive.whole())
            elif options.keepalive_s:
                keep_alive(sock, options.keepalive_s)
            if options.mark is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, options.mark)
            if connection.direction is Direction.INBOUND:
                name_client(sock, connection.peer)
            source = options.sources.get(family)
            if source is None and connection.hops:
                # bind() prefers odd ports and connect() even ones, which those have whose port is the trouble.
                source = "::" if upstream.is_ipv6 else "0.0.0.0"
            if options.as_client and connection.downstream is not None:
                ends = (SocketAddress(*one) for one in (connection.peer, upstream))
                accepted = connection.downstream.fileno(), SocketAddress(*connection.destination)
                stood_in = stand_in(*accepted, sock.fileno(), *ends)
                source = None if stood_in else source
            if source is not None:
                sock.bind((source, 0))
            error = sock.connect_ex(to_sockaddr(upstream))
            connection.source = UpstreamSource(from_sockaddr(sock.getsockname()))
        except OSError as failed:
            self._fail(connection, failed.errno or errno.EIO)
            return True
        self._events.source_chosen(connection)
        if error in _PENDING:
            # On this machine or a near one the handshake is over by now; asking again costs one system call, waiting
            # for the poller three and a trip round the loop.
            error = sock.connect_ex(to_sockaddr(upstream))
            if error in _PENDING:
                self._loop.add_writer(sock, self._writable, connection, sock)
                return True
        self._settle(connection, error)
        return True

    def _writable(self, connection: Connection, sock: socket.socket) -> None:
        # SO_ERROR first: an ICMP error may be reported there, and keep the poller awake, while connect() goes on to
        # answer EALREADY because the kernel would retransmit.
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        error = error or sock.connect_ex(to_sockaddr(connection.verdict.upstream))
        if error not in _PENDING:
            self._loop.remove_writer(sock)
            self._settle(connection, error)

    def _announce(self, connection: Connection) -> int:
        """Begin with the PROXY protocol where the workload expects it. An errno: nothing may follow."""
        version = self._options[connection.direction].announced.get(connection.verdict.upstream.port)
        if version is None or connection.upstream is None:
            return 0
        whole = header(version, connection.peer, connection.destination)
        try:
            sent = connection.upstream.send(whole)
        except OSError as failed:
            return failed.errno or errno.EIO
        return 0 if sent == len(whole) else errno.ENOBUFS  # the send buffer is empty, and larger than any header

    def _settle(self, connection: Connection, error: int) -> None:
        if error in _CONNECTED:
            error = self._announce(connection)
        if error in _CONNECTED:
            del self._attempts[connection.id]
            self._events.connected(connection)
        else:
            self._fail(connection, error)

    def _fail(self, connection: Connection, error: int) -> None:
        self._attempts.pop(connection.id, None)
        self._waiting.pop(connection.id, None)
        self._discard(connection)
        self._events.failed(connection, error)

    def _discard(self, connection: Connection) -> None:
        sock = connection.upstream
        if sock is not None:
            connection.upstream = None
            self._loop.remove_writer(sock)
            sock.close()

    def _sweep(self) -> None:
        self._timer = None
        for connection in list(self._waiting.values()):
            if not self._open(connection):
                break
        now = time.monotonic()
        gone = _vanished(list(self._attempts.values()))
        for connection in list(self._attempts.values()):
            if connection.id in gone:
                self._fail(connection, DOWNSTREAM_GONE)
            elif now >= connection.deadline:
                self._fail(connection, NO_DESCRIPTOR if connection.upstream is None else errno.ETIMEDOUT)
        if self._attempts and self._timer is None:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)


def _vanished(connections: list[Connection]) -> set[int]:
    """Ids of the connections whose client has reset its side. One that has only finished sending is still there:
    half-closed clients get their answer."""
    by_fd = {c.downstream.fileno(): c.id for c in connections if c.downstream is not None}
    poller = select.poll()
    for fd in by_fd:
        poller.register(fd, 0)
    return {by_fd[fd] for fd, _ in poller.poll(0)} if by_fd else set()
