"""The splice lane as the proxy uses it: the engine accepts from all listeners, decides by the verdict table what it
can, and punts the rest here. What it kept is told of when it has ended."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from cext.engine.acceptor import Acceptor
from cext.engine.engine import Engine
from cext.engine.values import Counters, Ending, Log, Punt, Record, SocketAddress, Spoken
from proxy.core.addresses import ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.close_reason import CloseReason, of_connect_error, of_shortage
from proxy.core.decide.admission import Refusal
from proxy.core.decide.verdict import NOWHERE
from proxy.core.lanes import Direction
from proxy.core.lower.to_engine import Ruling, Site
from proxy.core.policy.cluster import Cluster
from proxy.core.proxy_protocol import Announced
from proxy.core.report.record import CLOSED, CONNECTING, RELAYING, ConnectionRecord
from proxy.lanes.parsed.spoken import protocol_of
from proxy.lanes.splice.listening import LaneListener, Listening
from proxy.lanes.splice.verdict_table import Defaults, Group, LogTexts, VerdictTable
from proxy.lanes.terms import DIRECTIONS, SCOPES, address

RECORDS = 1024

_REFUSALS = {
    Ending.NO_DESTINATION: Refusal.MISSING_ORIGINAL_DESTINATION,
    Ending.DIRECT_DIAL: Refusal.DIRECT_DIAL,
    Ending.LOOP: Refusal.LOOP,
}
ENDED = tuple(Ending)[: Ending.INTERNAL_ERROR + 1]
"""How connections end that were connected: the order of `Counters.ended`."""
_REASONS = {
    Ending.FINISHED: CloseReason.FINISHED,
    Ending.DOWNSTREAM_RESET: CloseReason.DOWNSTREAM_RESET,
    Ending.UPSTREAM_RESET: CloseReason.UPSTREAM_RESET,
    Ending.IDLE_TIMEOUT: CloseReason.IDLE_TIMEOUT,
    Ending.LIFETIME: CloseReason.LIFETIME,
    Ending.ABORTED: CloseReason.DRAIN_DEADLINE,
    Ending.INTERNAL_ERROR: CloseReason.INTERNAL_ERROR,
    Ending.CONNECT_TIMEOUT: CloseReason.UPSTREAM_TIMEOUT,
}
"""Only a drain's deadline aborts. REFUSED and LIMITED do not come: no verdict of ours asks for them."""


@dataclass(frozen=True, slots=True)
class LaneEvents:
    """punted takes the socket over. ended: a connection that the engine kept, in how many attempts it was connected,
    and whether it ever was. lines: so many lines of the log, of connections that are told in no other way. refused: one
    that was reset at the door. hop: one that bears the addresses of an upstream connection of ours."""

    punted: Callable[[Punt], None]
    ended: Callable[[ConnectionRecord, int, bool], None]
    lines: Callable[[bytes, int], None]
    refused: Callable[[Direction, ClientAddress, OriginalDestination | None, Refusal], None]
    hop: Callable[[Direction], None]


class SpliceLane:
    """Belongs to the event loop. Owns the listening sockets from `open` to `close`."""

    def __init__(
        self,
        engine: Engine,
        listeners: Iterable[LaneListener],
        defaults: Defaults,
        events: LaneEvents,
        *,
        log: Log,
        log_texts: LogTexts,
        announced: Announced = MappingProxyType({}),
        number_of: Callable[[Site], int] = lambda _: 0,
    ) -> None:
        """log: NONE where each connection is to be told of by `ended`. number_of: of the rules for a site's requests;
        0: there are none."""
        self._engine = engine
        self._lane = Acceptor(engine)
        self.listening = Listening(self._lane, listeners)
        self._log = log
        self._lane.log(log)
        for port, version in announced.items():
            self._lane.announce(port, version)
        self._table = VerdictTable(self._lane, defaults, log_texts, number_of)
        self._events = events
        self._counted: list[Counters] | None = None

    def exchange(self, rulings: Mapping[Site, Ruling | None], gone: Collection[Site]) -> Iterator[None]:
        """Publish what differs; a step at each site, to be taken within the loop's time."""
        return self._table.exchange(rulings, gone)

    def tell_each(self, each: bool) -> None:
        """Have every connection that ends from now on told by `ended`, or only those of which there is no line."""
        if not self._engine.is_closed:  # a viewer may go after it
            self._lane.log(Log.NONE if each else self._log)

    def tidy(self) -> None:
        """Call it about once a second."""
        self._table.forget_retired()

    def hold(self, destination: OriginalDestination) -> None:
        self._table.hold(destination)

    def release(self, destination: OriginalDestination) -> None:
        self._table.release(destination)

    def open(self) -> None:
        """Begin to accept. The sockets are the engine's from now on."""
        self.listening.open()

    def close(self) -> None:
        """Stop accepting for good, and close connections on which no request is under way."""
        self.listening.close()
        self._lane.drain()

    def step_back(self) -> None:
        """Another process serves the listening sockets. Connections go on; clients that keep them are asked to come by
        another one. Undone by `take_back`."""
        self.listening.step_back()
        self._lane.part(parts=True)

    def take_back(self) -> None:
        """That process has died: serve the listening sockets again."""
        self._lane.part(parts=False)
        self.listening.take_back()

    def outstanding(self) -> int:
        """Connections in any hands: the engine's, those on their way from or to it, and the punted ones."""
        return self._engine.totals().outstanding

    def pauses(self) -> tuple[int, int]:
        """How often accepting has paused: at the limit of connections, for lack of descriptors or memory."""
        totals = self._engine.totals()
        return totals.limit_pauses, totals.accept_pauses

    def mirrors(self) -> tuple[int, int, int]:
        """Copies of requests sent to mirrors: how many were answered, have failed, and were never sent."""
        totals = self._engine.totals()
        return totals.mirrors_answered, totals.mirrors_failed, totals.mirrors_dropped

    def forget(self) -> None:
        """A punted connection has ended without ever having been relayed."""
        self._lane.forget()

    def take_punts(self) -> None:
        """A batch of connections to decide; the engine's descriptor stays readable while there are more."""
        for punt in self._lane.punts():
            if punt.hops:
                self._events.hop(DIRECTIONS[punt.scope])
            self._events.punted(punt)

    def take_records(self) -> None:
        """Connections that have ended, at most RECORDS of them; the engine's descriptor stays readable while there are
        more."""
        now = time.time()
        for record in self._lane.records(RECORDS):
            self._ended(record, now)
        self._take_lines()

    def take_last_records(self) -> None:
        """After the engine's close."""
        while records := self._lane.records(RECORDS):
            for record in records:
                self._ended(record, time.time())
        self._take_lines()

    def _take_lines(self) -> None:
        lines, count = self._lane.lines()
        if count:
            self._events.lines(lines, count)

    def live(self) -> Iterator[ConnectionRecord]:
        """The connections that the engine keeps, as of now."""
        now = time.time()
        for record in self._lane.connections():
            if record.original is not None:
                yield self._told(record, record.original, now, None)

    def spoken(self, direction: Direction, destination: OriginalDestination) -> str:
        """The protocol of the last connection to the destination, where first bytes tell; empty: none is remembered."""
        found = self._lane.remembered(SCOPES[direction], SocketAddress(*destination))
        return "" if found is Spoken.UNKNOWN else protocol_of(found)

    def request_group(self, cluster: Cluster, endpoint: UpstreamAddress) -> int:
        """Whose counters count the connections to an endpoint that is chosen for requests."""
        return self._table.request_group(cluster, endpoint)

    def group(self, number: int) -> Group | None:
        """What a group's number in the engine's counters stands for."""
        return self._table.group(number)

    def counters(self) -> Iterator[tuple[Group, Counters]]:
        """Of all connections that the engine has kept, by all that is told apart about them."""
        for counters in self._lane.counters() if self._counted is None else self._counted:
            group = self._table.counted(counters)
            if group is not None:
                yield group, counters

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        """Inside, `counters` gives them as of now: the walk over 100,000 groups takes the engine a tenth of a second,
        which a thread waits for instead of the event loop."""
        self._counted = await asyncio.to_thread(self._lane.counters)
        try:
            yield
        finally:
            self._counted = None

    def counters_of(self, cluster: str) -> Iterator[tuple[Group, Counters]]:
        """The same of one cluster."""
        for number, group in self._table.groups_of(cluster):
            counters = self._lane.counters_of(number)
            if counters is not None:
                yield group, counters

    def abort_all(self) -> None:
        for record in self._lane.connections():
            self._engine.abort(record.id)

    def settle(self, *, give_up_connecting: bool) -> None:
        """The workload has ended: what it sent is delivered, what it was still waiting for is not needed any more."""
        for record in self._lane.connections():
            if record.connect_us is not None:
                self._engine.settle(record.id, upstream_gone=DIRECTIONS[record.scope] is Direction.INBOUND)
            elif give_up_connecting:
                self._engine.abort(record.id)

    def _ended(self, record: Record, now: float) -> None:
        direction = DIRECTIONS[record.scope]
        if record.hops and record.ending is not Ending.LOOP:
            self._events.hop(direction)
        refusal = _REFUSALS.get(record.ending) if record.ending is not None else None
        if refusal is not None or record.original is None:
            peer = ClientAddress(address(record.peer))
            destination = None if record.original is None else OriginalDestination(address(record.original))
            self._events.refused(direction, peer, destination, refusal or Refusal.MISSING_ORIGINAL_DESTINATION)
            return
        told = self._told(record, record.original, now, _reason(record))
        self._events.ended(told, record.attempts, record.connect_us is not None)

    def _told(
        self, record: Record, original: SocketAddress, now: float, reason: CloseReason | None
    ) -> ConnectionRecord:
        state = RELAYING if record.connect_us is not None else CONNECTING
        return ConnectionRecord(
            id=record.id,
            direction=DIRECTIONS[record.scope],
            peer=ClientAddress(address(record.peer)),
            destination=OriginalDestination(address(original)),
            upstream=NOWHERE if record.upstream is None else UpstreamAddress(address(record.upstream)),
            verdict=self._table.verdict(record),
            to_upstream=record.bytes_sent,
            to_downstream=record.bytes_received,
            state=CLOSED if reason is not None else state,
            started_at=now - record.duration_us / 1e6,
            age_s=record.duration_us / 1e6,
            close_reason=reason,
            sni=record.server_name,
            alpn=record.alpn,
        )


def reasons(counters: Counters) -> Iterator[tuple[CloseReason, int]]:
    """How many of those that were connected have ended for which reason."""
    for ending, count in zip(ENDED, counters.ended, strict=True):
        yield _REASONS[ending], count


def _reason(record: Record) -> CloseReason:
    if record.ending is Ending.CONNECT_FAILED:
        return of_shortage(record.error) or of_connect_error(record.error)
    return CloseReason.INTERNAL_ERROR if record.ending is None else _REASONS[record.ending]
