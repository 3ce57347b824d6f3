"""A connection's way through the proxy: accepted, admitted, connected upstream, relayed, closed, told about."""

import asyncio
import contextlib
import itertools
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from cext.engine import Engine
from proxy.core.addresses import ClientAddress, ListenAddress, OriginalDestination, SocketAddress, from_sockaddr
from proxy.core.admission import Admit, AnswerProbe, Arrival, Refusal, Refuse, judge
from proxy.core.close_reason import CloseReason, of_connect_error
from proxy.core.lanes import Direction
from proxy.core.loops import OwnUpstreams
from proxy.core.probes import ProbeRegistry
from proxy.core.verdict import Verdict
from proxy.io import original_dst
from proxy.io.connection import CLOSED, CONNECTING, Connection
from proxy.io.handover import Handover
from proxy.io.intake import Intake
from proxy.io.relays import Relays
from proxy.io.sockets import reset
from proxy.io.upstream import DOWNSTREAM_GONE, NO_DESCRIPTOR, Connector, ConnectorEvents, UpstreamOptions
from proxy.io.verdicts import Verdicts
from proxy.settings import InboundOriginalDst

LOOP_RECHECK_S = 0.02
"""An upstream socket that has just been closed is still in the loop guard's list until its completion is taken in."""

HOPS = 1
"""How often in a row a connection that looks like our own is let through. A loop made by the rules ends after that."""
RECONNECTS = 3
"""How often an upstream connection that came back to us is made again before it counts as a loop made by the rules."""

_log = logging.getLogger("tidegate.proxy")


@dataclass(frozen=True, slots=True)
class ConnectionEvents:
    """What the rest of the proxy is told. A probe is told of by `probed` alone."""

    opened: Callable[[Connection], None]
    closed: Callable[[Connection, CloseReason], None]
    refused: Callable[[Arrival, Refusal], None]
    probed: Callable[[Direction], None]
    moved: Callable[[Connection, Verdict], None]
    """An endpoint did not take the connection, by the verdict given; it has another one now."""
    recaptured: Callable[[Direction], None]
    """An upstream connection came back to us and is made again from another port (see proxy.io.handover)."""


class Connections:
    """All connections of the proxy. Belongs to the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        engine: Engine,
        intake: Intake,
        probes: ProbeRegistry,
        events: ConnectionEvents,
        *,
        verdicts: Verdicts,
        inbound_original_dst: InboundOriginalDst,
        upstream_options: dict[Direction, UpstreamOptions],
        idle_timeout_s: float,
    ) -> None:
        self._loop = loop
        self._intake = intake
        self._probes = probes
        self._events = events
        self._verdicts = verdicts
        self._method = {Direction.OUTBOUND: InboundOriginalDst.SOCKOPT, Direction.INBOUND: inbound_original_dst}
        self._own_upstreams = OwnUpstreams()
        self._live: dict[int, Connection] = {}
        self._ids = itertools.count(1)
        self._relays = Relays(loop, engine, idle_timeout_s, self._finish)
        self._handover = Handover(self._relay)
        self._connector = Connector(
            loop,
            upstream_options,
            ConnectorEvents(
                source_chosen=self._source_chosen,
                connected=self._handover.connected,
                failed=self._connect_failed,
                exhausted=intake.exhausted,
            ),
        )
        intake.serve_waiting = self._connector.retry_waiting
        self.on_empty: Callable[[], None] = lambda: None
        """Called whenever the last connection has ended."""

    def accepted(self, direction: Direction, listener_port: int, sock: socket.socket, peer: SocketAddress) -> bool:
        """A listener's connection; takes the socket over. False: accept no more for now."""
        self._handover.accepting()
        try:
            local = ListenAddress(from_sockaddr(sock.getsockname()))
        except OSError:  # reset while it waited in the backlog
            sock.close()
            return True
        destination = original_dst.recover(sock, local, listener_port, self._method[direction])
        arrival = Arrival(direction, listener_port, ClientAddress(from_sockaddr(peer)), local, destination)
        return self._act(sock, arrival, recheck=True)

    def accepted_all(self) -> None:
        """The listener has accepted what there was."""
        self._handover.accepted_all()

    def live(self) -> list[Connection]:
        """Every open connection, its byte counts brought up to date."""
        self._relays.refresh()
        return list(self._live.values())

    def abort_all(self) -> None:
        """Reset every connection. Those still connecting end at once, relays when the engine reports them."""
        for connection in list(self._live.values()):
            if connection.state == CONNECTING:
                self._connector.cancel(connection)
                self._finish(connection, CloseReason.DRAIN_DEADLINE)
        self._relays.abort_all()

    def close(self) -> None:
        """After the last connection, or to end what is left without records."""
        self._connector.close()
        self._relays.close()

    def _act(self, sock: socket.socket, arrival: Arrival, *, recheck: bool) -> bool:
        match judge(arrival, self._probes, self._own_upstreams, time.monotonic()):
            case Admit(destination):
                return self._admit(sock, arrival, destination)
            case AnswerProbe(token):
                self._events.probed(arrival.direction)
                _answer(sock, token)
            case Refuse(Refusal.LOOP) if recheck:
                self._act_on_loop(sock, arrival)
            case Refuse(reason):
                self._events.refused(arrival, reason)
                reset(sock)
        return True

    def _admit(self, sock: socket.socket, arrival: Arrival, destination: OriginalDestination, hops: int = 0) -> bool:
        verdict = self._verdicts.first(arrival.direction, destination, arrival.peer)
        connection = Connection(
            next(self._ids),
            direction=arrival.direction,
            peer=arrival.peer,
            destination=destination,
            verdict=verdict,
            downstream=sock,
        )
        connection.hops = hops
        self._live[connection.id] = connection
        self._events.opened(connection)
        go_on = self._intake.took()
        if verdict.refusal is None:
            self._connector.start(connection)
        else:
            self._finish(connection, verdict.refusal)
        return go_on

    def _act_on_loop(self, sock: socket.socket, arrival: Arrival) -> None:
        """It bears the addresses of an upstream connection of ours. That is not yet proof: behind REDIRECT a client
        whose port was taken is shown with another one, which can be that of an upstream socket of ours."""
        connection = self._handover.take_back(self._owner(arrival))
        if connection is not None:
            # Reset the suspected end: if this is its other end, it hears of that.
            self._let_go_of_upstream(connection)
            self._loop.call_later(LOOP_RECHECK_S, self._act_on_reset, sock, arrival, connection)
            return
        # The guard may know of an upstream socket that has just been closed, and whose port a client got.
        self._relays.collect()
        self._loop.call_later(LOOP_RECHECK_S, self._act_again, sock, arrival)

    def _act_on_reset(self, sock: socket.socket, arrival: Arrival, connection: Connection) -> None:
        """The upstream connection that was suspected has been reset; it is made again in any case."""
        came_back = _was_reset(sock)
        if came_back:
            reset(sock)
            connection.reconnects += 1
        elif self._intake.closed:
            reset(sock)  # a drain has begun meanwhile, and may be over
        else:
            self._act(sock, arrival, recheck=False)
        if connection.id not in self._live:
            return
        if connection.reconnects > RECONNECTS:
            self._events.refused(arrival, Refusal.LOOP)
            self._finish(connection, CloseReason.UPSTREAM_LOOP)
            return
        if came_back:
            self._events.recaptured(connection.direction)
        self._connector.start(connection)

    def _act_again(self, sock: socket.socket, arrival: Arrival) -> None:
        """Who still looks like ours is let through, a few times: it can't be the connection it looks like, which was
        handed over when the listener's queue was empty; and if it is in spite of that, the next hop is counted."""
        owner = self._live.get(self._owner(arrival) or -1)
        if self._intake.closed:
            reset(sock)  # a drain has begun meanwhile, and may be over
        elif owner is not None and arrival.destination is not None and owner.hops < HOPS:
            self._admit(sock, arrival, arrival.destination, owner.hops + 1)
        else:
            self._act(sock, arrival, recheck=False)

    def _owner(self, arrival: Arrival) -> int | None:
        return self._own_upstreams.owner(arrival.peer, arrival.destination) if arrival.destination else None

    def _source_chosen(self, connection: Connection) -> None:
        if connection.source is not None:
            self._own_upstreams.add(connection.source, connection.verdict.upstream, connection.direction, connection.id)

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
        self._handover.take_back(connection.id)
        self._let_go_of_upstream(connection)
        if connection.downstream is not None:
            reset(connection.downstream)
            connection.downstream = None
        del self._live[connection.id]
        self._verdicts.ended(connection.verdict)
        self._events.closed(connection, reason)
        self._intake.released()
        if not self._live:
            self.on_empty()

    def _let_go_of_upstream(self, connection: Connection) -> None:
        if connection.upstream is not None:
            reset(connection.upstream)
            connection.upstream = None
        if connection.source is not None:
            self._own_upstreams.remove(connection.source, connection.verdict.upstream)
            connection.source = None


def _was_reset(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


def _answer(sock: socket.socket, token: str) -> None:
    """A fresh socket takes a few bytes without blocking. What the prober has sent is read first: closing over unread
    bytes would reset the connection and could cost the prober its token."""
    with contextlib.suppress(OSError):
        sock.recv(4096)
    with contextlib.suppress(OSError):
        sock.send(f"{token}\n".encode())
        sock.shutdown(socket.SHUT_WR)
    sock.close()
