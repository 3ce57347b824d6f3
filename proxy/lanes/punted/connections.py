"""The way of a connection that is decided here: punted, admitted, connected upstream, relayed, closed, told about."""

import asyncio
import contextlib
import itertools
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from cext.engine.engine import Engine
from cext.engine.values import Punt
from proxy.core.addresses import ClientAddress, OriginalDestination
from proxy.core.close_reason import CloseReason, of_connect_error
from proxy.core.decide.admission import Admit, AnswerProbe, Arrival, Refusal, Refuse, judge
from proxy.core.decide.loops import OwnUpstreams
from proxy.core.decide.probes import ProbeRegistry
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction
from proxy.core.report.record import CLOSED, CONNECTING
from proxy.lanes.punted.connection import Connection
from proxy.lanes.punted.relays import Relays
from proxy.lanes.punted.upstream import DOWNSTREAM_GONE, NO_DESCRIPTOR, Connector, ConnectorEvents, UpstreamOptions
from proxy.lanes.punted.verdicts import Verdicts
from proxy.lanes.terms import DIRECTIONS, address
from proxy.start.sockets import reset

_log = logging.getLogger("tidegate.proxy")


@dataclass(frozen=True, slots=True)
class ConnectionEvents:
    """What the rest of the proxy is told. A probe is told of by `probed` alone."""

    opened: Callable[[Connection], None]
    closed: Callable[[Connection, CloseReason], None]
    refused: Callable[[Direction, ClientAddress, OriginalDestination, Refusal], None]
    probed: Callable[[Direction], None]
    moved: Callable[[Connection, Verdict], None]
    """An endpoint did not take the connection, by the verdict given; it has another one now."""
    forgotten: Callable[[], None]
    """A connection, or what was refused or answered, has gone without having been relayed: its place is free."""


class Connections:
    """All connections that are decided here. Belongs to the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        engine: Engine,
        probes: ProbeRegistry,
        events: ConnectionEvents,
        *,
        verdicts: Verdicts,
        upstream_options: dict[Direction, UpstreamOptions],
        idle_timeout_s: float,
    ) -> None:
        self._probes = probes
        self._events = events
        self._verdicts = verdicts
        self._own_upstreams = OwnUpstreams()
        self._live: dict[int, Connection] = {}
        self._ids = itertools.count(1)
        self._relays = Relays(engine, idle_timeout_s, self._finish)
        self._connector = Connector(
            loop, upstream_options, ConnectorEvents(self._source_chosen, self._relay, self._connect_failed)
        )

    def punted(self, punt: Punt) -> None:
        """A connection that the engine has accepted and left to us; takes its descriptor over."""
        sock = socket.socket(fileno=punt.fd)
        direction = DIRECTIONS[punt.scope]
        peer, destination = ClientAddress(address(punt.peer)), OriginalDestination(address(punt.original))
        arrival = Arrival(direction, peer, destination, punt.hops)
        match judge(arrival, self._probes, self._own_upstreams, time.monotonic()):
            case Admit(hops):
                self._admit(sock, arrival, hops)
            case AnswerProbe(token):
                self._events.probed(direction)
                _answer(sock, token)
                self._events.forgotten()
            case Refuse(reason):
                self._events.refused(direction, peer, destination, reason)
                reset(sock)
                self._events.forgotten()

    def collect(self) -> None:
        """Take in what has ended."""
        self._relays.collect()

    def live(self) -> list[Connection]:
        """Every open connection, its byte counts brought up to date."""
        self._relays.refresh()
        return list(self._live.values())

    def abort_all(self) -> None:
        """Reset every connection. Those still connecting end at once, relays when the engine reports them."""
        self._abort_connecting()
        self._relays.abort_all()

    def settle(self, *, give_up_connecting: bool) -> None:
        """The workload has ended: what it sent is delivered, what it was still waiting for is not needed any more."""
        self._relays.settle_all()
        if give_up_connecting:
            self._abort_connecting()

    def _abort_connecting(self) -> None:
        for connection in list(self._live.values()):
            if connection.state == CONNECTING:
                self._connector.cancel(connection)
                self._finish(connection, CloseReason.DRAIN_DEADLINE)

    def close(self) -> None:
        """After the engine's close: no timer stays behind, and what had been relayed is told of."""
        self._connector.close()
        self._relays.collect_all()

    def _admit(self, sock: socket.socket, arrival: Arrival, hops: int) -> None:
        verdict = self._verdicts.first(arrival.direction, arrival.destination, arrival.peer)
        connection = Connection(
            next(self._ids),
            direction=arrival.direction,
            peer=arrival.peer,
            destination=arrival.destination,
            verdict=verdict,
            downstream=sock,
        )
        connection.hops = hops
        self._live[connection.id] = connection
        self._events.opened(connection)
        if verdict.refusal is None:
            self._connector.start(connection)
        else:
            self._finish(connection, verdict.refusal)

    def _source_chosen(self, connection: Connection) -> None:
        if connection.source is not None:
            self._own_upstreams.add(
                connection.source, connection.verdict.upstream, connection.direction, connection.hops
            )

    def _relay(self, connection: Connection) -> None:
        self._verdicts.connected(connection.verdict)
        try:
            self._relays.start(connection)
        except OSError as failed:
            _log.error("connection to %s: the engine does not take it: %s", connection.destination, failed)
            self._finish(connection, CloseReason.INTERNAL_ERROR)

    def _connect_failed(self, connection: Connection, error: int) -> None:
        if error > 0:
            self._verdicts.failed(connection.verdict)
            if self._try_another(connection):
                return
        if error == DOWNSTREAM_GONE:
            reason = CloseReason.DOWNSTREAM_RESET
        elif error == NO_DESCRIPTOR:
            reason = CloseReason.OUT_OF_DESCRIPTORS
        else:
            reason = of_connect_error(error)
        self._finish(connection, reason)

    def _try_another(self, connection: Connection) -> bool:
        """Begin connecting to another endpoint, within the same deadline. False: there is none, or no time left."""
        if time.monotonic() >= connection.deadline:
            return False
        before = connection.verdict
        connection.failed = (*connection.failed, before.upstream)
        other = self._verdicts.other(before, connection.destination, connection.peer, connection.failed)
        if other is None:
            return False
        self._let_go_of_upstream(connection)
        connection.verdict = other
        self._events.moved(connection, before)
        self._connector.start(connection)
        return True

    def _finish(self, connection: Connection, reason: CloseReason) -> None:
        """The one end of every connection. Sockets that we still own go with a reset: nothing was relayed."""
        connection.state = CLOSED
        self._let_go_of_upstream(connection)
        del self._live[connection.id]
        self._verdicts.ended(connection.verdict)
        self._events.closed(connection, reason)
        if connection.downstream is not None:
            reset(connection.downstream)
            connection.downstream = None
            self._events.forgotten()

    def _let_go_of_upstream(self, connection: Connection) -> None:
        if connection.upstream is not None:
            reset(connection.upstream)
            connection.upstream = None
        if connection.source is not None:
            self._own_upstreams.remove(connection.source, connection.verdict.upstream)
            connection.source = None


def _answer(sock: socket.socket, token: str) -> None:
    """A fresh socket takes a few bytes without blocking. What the prober has sent is read first: closing over unread
    bytes would reset the connection and could cost the prober its token."""
    with contextlib.suppress(OSError):
        sock.recv(4096)
    with contextlib.suppress(OSError):
        sock.send(f"{token}\n".encode())
        sock.shutdown(socket.SHUT_WR)
    sock.close()
