"""The splice lane: the engine accepts, looks the original destination up in a verdict table, connects and relays.

Python gives it listening sockets and verdicts. A destination without a verdict is punted: its socket comes back here,
is decided once, and the decision is pushed down with `set_verdict`. Watch the engine's `completion_fd`, readable while
completions or punts wait, and its `record_fd`, readable while records do.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

from cext.engine._engine import ffi, lib
from cext.engine.engine import Engine, EngineError, check

_BATCH = 256
_LINES_ROOM = 256 * 1024


class Ending(IntEnum):
    """Why an accepted connection ended: the reasons of a relay, then those for which it was never connected."""

    FINISHED = 0
    DOWNSTREAM_RESET = 1
    UPSTREAM_RESET = 2
    IDLE_TIMEOUT = 3
    LIFETIME = 4
    ABORTED = 5
    INTERNAL_ERROR = 6
    CONNECT_FAILED = 7
    CONNECT_TIMEOUT = 8
    REFUSED = 9
    LIMITED = 10
    NO_DESTINATION = 11
    DIRECT_DIAL = 12
    LOOP = 13


_ENDINGS = tuple(Ending)


MAX_TEXT: int = lib.TG_MAX_TEXT


class Log(IntEnum):
    """How connections that end as connections do are told."""

    NONE = 0
    """By records, as all others."""
    TEXT = 1
    JSON = 2


class Original(IntEnum):
    """Where a listener finds the original destination."""

    AUTO = 0
    SOCKOPT = 1
    SOCKNAME = 2


class Action(IntEnum):
    RELAY = 0
    PASS = 1
    PUNT = 2
    REFUSE = 3


class Balance(IntEnum):
    """Both by weight."""

    RANDOM = 0
    ROUND_ROBIN = 1


class Place(NamedTuple):
    """An address of TCP. `ip` is text (IPv6 v4-mapped means IPv4), `zone` the interface index of link-local IPv6."""

    ip: str
    port: int
    zone: int = 0


ANYTHING: Place | None = None
"""As a verdict's destination: whatever has no verdict of its own."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server. `group`: whose counters its connections move. Weight 0: never chosen."""

    place: Place
    group: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided for a destination. Immutable; connections keep the one they began with.

    `id` and `group` are the caller's: `id` comes back in records; `group` counts refusals, what is held under
    `max_connections` (0: no limit), and the traffic of PASS. Times of 0: none (connecting: the kernel's).
    `max_attempts` of 0: each endpoint once.
    """

    action: Action
    id: int = 0
    group: int = 0
    endpoints: tuple[Endpoint, ...] = ()
    balance: Balance = Balance.RANDOM
    max_attempts: int = 0
    max_connections: int = 0
    connect_timeout_ms: int = 10_000
    idle_timeout_ms: int = 0
    lifetime_ms: int = 0
    log_protocol: bytes = b""
    """This and the next two: values of the log, as they are to stand in a line; at most MAX_TEXT bytes each."""
    log_lane: bytes = b""
    log_reason: bytes = b""


class Punt(NamedTuple):
    """An accepted connection that is the caller's now: `fd` is non-blocking, and nobody else closes it."""

    fd: int
    scope: int
    hops: int
    """As in Record."""
    peer: Place
    original: Place


class Record(NamedTuple):
    """One connection that the engine accepted and kept; a live one has no `ending`. `bytes_sent` went upstream.

    `upstream`: the last endpoint tried; None when there was none. `connect_us`: from accept to connected, None when it
    never was. `id` is never that of a relay.
    """

    id: int
    scope: int
    verdict: int
    group: int
    peer: Place
    original: Place | None
    upstream: Place | None
    bytes_sent: int
    bytes_received: int
    duration_us: int
    connect_us: int | None
    attempts: int
    idle_ms: int
    hops: int
    """How many connections of the engine's own may lead to this one: above 0 it bears the addresses of one of them."""
    ending: Ending | None
    error: int


class Counters(NamedTuple):
    """One group's totals since the engine started; they never go back, but for `admitted`, the present number."""

    group: int
    opened: int
    closed: int
    connect_failures: int
    ended: tuple[int, ...]
    """Those closed, by Ending from FINISHED to INTERNAL_ERROR."""
    retries: int
    refused: int
    bytes_sent: int
    bytes_received: int
    admitted: int


def _to_c(place: Place | None) -> dict[str, object]:
    if place is None:
        return {"family": 0}
    address = ipaddress.ip_address(place.ip)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return {
        "ip": address.packed.ljust(16, b"\0"),
        "port": place.port,
        "zone": place.zone if address.version == 6 else 0,
        "family": address.version,
    }


def _place(ip: bytes, zone: int, port: int, family: int) -> Place | None:
    if family == 4:
        return Place(socket.inet_ntoa(ip[:4]), port)
    return Place(socket.inet_ntop(socket.AF_INET6, ip), port, zone) if family == 6 else None


_known_place = lru_cache(512)(_place)
"""For destinations, which recur; peers' ports don't."""


def _certain(place: Place | None) -> Place:
    if place is None:
        raise EngineError(errno.EAFNOSUPPORT, "a connection from or to an address that is neither IPv4 nor IPv6")
    return place


# A record is unpacked at one stroke: field by field through cffi it costs 9 us instead of 2.5, for each connection.
_ADDRESS = "16sIHH"
_RECORD = struct.Struct(f"=5Q2q{_ADDRESS}{_ADDRESS}{_ADDRESS}IIiiqI4x")
_PUNT = struct.Struct(f"=iII{_ADDRESS}{_ADDRESS}")
for _layout, _name in ((_RECORD, "tg_record"), (_PUNT, "tg_punt")):
    if _layout.size != ffi.sizeof(_name):
        raise ImportError(f"cext/engine/lane.py and cext/engine/engine.h disagree about {_name}: rebuild the extension")


def _record(fields: tuple[Any, ...], live: bool) -> Record:
    (id_, verdict, group, sent, received, duration_us, connect_us, *addresses) = fields[:19]
    scope, attempts, reason, error, idle_ms, hops = fields[19:]
    peer, original, upstream = addresses[:4], addresses[4:8], addresses[8:]
    return Record(
        id_,
        scope,
        verdict,
        group,
        _certain(_place(*peer)),
        _known_place(*original),
        _known_place(*upstream),
        sent,
        received,
        duration_us,
        connect_us if connect_us >= 0 else None,
        attempts,
        idle_ms,
        hops,
        None if live else _ENDINGS[reason],
        error,
    )


def _records(rows: Any, count: int, live: bool) -> list[Record]:
    return [_record(fields, live) for fields in _RECORD.iter_unpack(ffi.buffer(rows, count * _RECORD.size))]


def _counters(row: Any) -> Counters:
    return Counters(
        row.group,
        row.opened,
        row.closed,
        row.connect_failures,
        tuple(row.ended),
        row.retries,
        row.refused,
        row.bytes_sent,
        row.bytes_received,
        row.admitted,
    )


class SpliceLane:
    """Listeners and verdicts of one engine. Ends with the engine; `Engine.close` resets what is left, punts included.

    A `scope` is the caller's name for a part of the verdict table (outbound, inbound): each listener looks up in one.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._leftover: list[Record] = []
        self._last_lines = (b"", 0)
        self._room = ffi.new("char[]", _LINES_ROOM)
        engine.before_close(self._save_records)

    def listen(
        self,
        fd: int,
        *,
        scope: int,
        original: Original = Original.AUTO,
        mark: int = 0,
        keepalive_s: int = 0,
        hairpin_from: int | None = None,
        sources: Iterable[str] = (),
        inbound: bool = False,
    ) -> int:
        """Serve a listening TCP socket; consumes `fd` on success only. Returns the listener's number.

        `mark`: SO_MARK of upstream sockets (needs CAP_NET_ADMIN; without it connections fail rather than go unmarked).
        `hairpin_from`: the scope whose own upstream connections may arrive here as if they were a client's; others of
        ours are served, too, but count hops, and the fourth in a row is refused as a loop. `sources`: addresses that
        upstream sockets are bound to, at most one a family. `inbound`: for the log's point of view.
        """
        bound = {ipaddress.ip_address(ip).version: Place(ip, 0) for ip in sources}
        options = ffi.new(
            "tg_listener *",
            {
                "scope": scope,
                "original": int(original),
                "mark": mark,
                "keepalive_s": keepalive_s,
                "hairpin_from": -1 if hairpin_from is None else hairpin_from,
                "inbound": inbound,
                "sources": [_to_c(bound.get(version)) for version in (4, 6)],
            },
        )
        return check(lib.tg_engine_listen(self._engine.handle, fd, options), f"listening on descriptor {fd}")

    def unlisten(self, number: int, drain_ms: int = 0) -> None:
        """Close the socket as soon as nobody waits in its backlog, after `drain_ms` at the latest; blocks as long.
        Who waits there then is reset. Connections accepted before go on."""
        check(lib.tg_engine_unlisten(self._engine.handle, number, drain_ms), f"closing listener {number}")

    def accepted(self, number: int) -> int:
        """How many connections a listener that is open has accepted."""
        return check(lib.tg_engine_accepted(self._engine.handle, number), f"listener {number}")

    def set_verdict(self, scope: int, destination: Place | None, verdict: Verdict) -> None:
        """Decide for new connections of a scope to a destination.

        An exact destination wins over the unspecified address (`0.0.0.0`, `::`) with the same port, that over ANYTHING.
        Without any verdict a connection is punted. Raises ValueError for a malformed address, EngineError (EINVAL) for
        a verdict that can't be carried out: RELAY without an endpoint of positive weight, others with endpoints.
        """
        endpoints = ffi.new("tg_endpoint[]", len(verdict.endpoints))
        for row, endpoint in zip(endpoints, verdict.endpoints, strict=True):
            row.address = _to_c(endpoint.place)
            row.weight, row.group = endpoint.weight, endpoint.group
        asked = ffi.new(
            "tg_verdict *",
            {
                "id": verdict.id,
                "action": int(verdict.action),
                "balance": int(verdict.balance),
                "group": verdict.group,
                "endpoints": endpoints,
                "endpoint_count": len(verdict.endpoints),
                "max_attempts": verdict.max_attempts,
                "max_connections": verdict.max_connections,
                "connect_timeout_ms": verdict.connect_timeout_ms,
                "idle_timeout_ms": verdict.idle_timeout_ms,
                "lifetime_ms": verdict.lifetime_ms,
            },
        )
        texts = [ffi.new("char[]", text) for text in (verdict.log_protocol, verdict.log_lane, verdict.log_reason)]
        asked.log_protocol, asked.log_lane, asked.log_reason = texts
        address = ffi.new("tg_address *", _to_c(destination))
        result = lib.tg_engine_set_verdict(self._engine.handle, scope, address, asked)
        check(result, f"verdict {verdict.id} for {destination} in scope {scope}")

    def remove_verdict(self, scope: int, destination: Place | None) -> None:
        """Forget a decision: new connections are decided by a wider verdict or punted. None there is no error."""
        address = ffi.new("tg_address *", _to_c(destination))
        result = lib.tg_engine_remove_verdict(self._engine.handle, scope, address)
        if result != -errno.ENOENT:
            check(result, f"removing the verdict for {destination} in scope {scope}")

    def punts(self, limit: int = _BATCH) -> list[Punt]:
        """At most `limit` connections to decide; never blocks. They belong to the caller, who must close them.

        Each goes on to count against the engine's capacity until it is relayed with `punted=True`, or forgotten.
        """
        if self._engine.is_closed:
            return []
        rows = ffi.new("tg_punt[]", limit)
        count = lib.tg_engine_punts(self._engine.handle, rows, limit)
        return [
            Punt(fd, scope, hops, _certain(_place(*address[:4])), _certain(_known_place(*address[4:])))
            for fd, scope, hops, *address in _PUNT.iter_unpack(ffi.buffer(rows, count * _PUNT.size))
        ]

    def forget(self) -> None:
        """Give back the place of one punted connection that was not relayed."""
        if not self._engine.is_closed:
            lib.tg_engine_forget(self._engine.handle)

    def records(self, limit: int = _BATCH) -> list[Record]:
        """At most `limit` connections that have ended; never blocks. After the engine's close, those that it reset."""
        if self._engine.is_closed:
            taken, self._leftover = self._leftover[:limit], self._leftover[limit:]
            return taken
        return self._collect(limit)

    def log(self, how: Log) -> None:
        """To be called before the first `listen`."""
        check(lib.tg_engine_set_log(self._engine.handle, int(how)), f"log format {how}")

    def lines(self) -> tuple[bytes, int]:
        """Lines of connections that have ended, each with its end, as many as there is room for, and how many they
        are. Empty: no more wait. After the engine's close, those that it reset."""
        if self._engine.is_closed:
            taken, self._last_lines = self._last_lines, (b"", 0)
            return taken
        return self._lines()

    def connections(self) -> list[Record]:
        """A snapshot of those that go on. `Engine.abort` takes their ids."""
        return [record for batch in self.connection_batches() for record in batch]

    def connection_batches(self) -> Iterator[list[Record]]:
        """The same, a few at a time, each as of when it is asked for. One that is there from before the first batch
        until after the last one is in exactly one of them."""
        cursor = ffi.new("uint64_t *")
        rows = ffi.new("tg_record[]", _BATCH)
        while not self._engine.is_closed:
            count = lib.tg_engine_connections(self._engine.handle, cursor, rows, _BATCH)
            if count == 0:
                return
            yield _records(rows, count, live=True)

    def counters(self) -> list[Counters]:
        """Counters of every group that a verdict has ever named."""
        if self._engine.is_closed:
            return []
        cursor = ffi.new("uint64_t *")
        rows = ffi.new("tg_counters[]", _BATCH)
        found: list[Counters] = []
        while count := lib.tg_engine_counters(self._engine.handle, cursor, rows, _BATCH):
            found += [_counters(row) for row in rows[0:count]]
        return found

    def _collect(self, limit: int) -> list[Record]:
        rows = ffi.new("tg_record[]", limit)
        count = lib.tg_engine_records(self._engine.handle, rows, limit)
        return _records(rows, count, live=False)

    def _lines(self) -> tuple[bytes, int]:
        count = ffi.new("uint64_t *")
        size = lib.tg_engine_lines(self._engine.handle, self._room, _LINES_ROOM, count)
        return ffi.buffer(self._room, size)[:], count[0]

    def _save_records(self) -> None:
        while batch := self._collect(_BATCH):
            self._leftover += batch
        text, total = b"", 0
        while (more := self._lines())[1]:
            text, total = text + more[0], total + more[1]
        self._last_lines = (text, total)
