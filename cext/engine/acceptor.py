"""The engine's accepting side: it accepts, looks the original destination up in a verdict table, connects and relays.

Python gives it listening sockets and verdicts. A destination without a verdict is punted: its socket comes back here,
is decided once, and the decision is pushed down with `set_verdict`. Watch the engine's `completion_fd`, readable while
completions or punts wait, and its `record_fd`, readable while records do.
"""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterable, Iterator

from cext.engine._engine import ffi, lib
from cext.engine.engine import Engine, check
from cext.engine.layout import PUNT, certain, counters, known_address, records, socket_address, to_c
from cext.engine.values import Counters, Log, Original, Punt, Record, SocketAddress, Spoken, Verdict

_BATCH = 256
_LINES_ROOM = 256 * 1024


def _network(text: str) -> dict[str, object]:
    network = ipaddress.ip_network(text)
    ip = network.network_address.packed.ljust(16, b"\0")
    return {"ip": ip, "family": network.version, "bits": network.prefixlen}


def stand_in(accepted: int, original: SocketAddress, upstream: int, client: SocketAddress, to: SocketAddress) -> bool:
    """Bind a new socket, that is to be connected to `to`, to the address of the client of a punted connection, whose
    destination was `original`.

    False: capture has changed the addresses of the accepted socket, so nothing was done. Raises EngineError.
    """
    asked, caller, called = (ffi.new("tg_address *", to_c(one)) for one in (original, client, to))
    return check(lib.tg_stand_in(accepted, asked, upstream, caller, called), f"standing in for {client}") == 1


class Acceptor:
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
        explicit: bool = False,
        as_client: bool = False,
    ) -> int:
        """Serve a listening TCP socket; consumes `fd` on success only. Returns the listener's number.

        `mark`: SO_MARK of upstream sockets (needs CAP_NET_ADMIN; without it connections fail rather than go unmarked).
        `hairpin_from`: the scope whose own upstream connections may arrive here as if they were a client's; others of
        ours are served, too, but count hops, and the fourth in a row is refused as a loop. `sources`: addresses that
        upstream sockets are bound to, at most one a family. `inbound`: for the log's point of view. `explicit`: a plain
        HTTP proxy, to which clients say where each request goes (`lookups.Lookups`).
        `as_client`: connections of sockets that capture gave us unchanged (TPROXY) are made from the client's address.
        """
        bound = {ipaddress.ip_address(ip).version: SocketAddress(ip, 0) for ip in sources}
        options = ffi.new(
            "tg_listener *",
            {
                "scope": scope,
                "original": int(original),
                "mark": mark,
                "keepalive_s": keepalive_s,
                "hairpin_from": -1 if hairpin_from is None else hairpin_from,
                "inbound": inbound,
                "is_explicit": explicit,
                "as_client": as_client,
                "sources": [to_c(bound.get(version)) for version in (4, 6)],
            },
        )
        return check(lib.tg_engine_listen(self._engine.handle, fd, options), f"listening on descriptor {fd}")

    def announce(self, port: int, version: int) -> None:
        """Begin connections of inbound listeners to that port of the workload with a header of the PROXY protocol. To
        be said before `listen`."""
        check(lib.tg_engine_announce(self._engine.handle, port, version), f"announcing clients to port {port}")

    def unlisten(self, number: int, drain_ms: int = 0) -> None:
        """Close the socket as soon as its backlog is empty, after `drain_ms` at the latest; blocks as long.
        Connections that still wait there are reset. Connections accepted before go on."""
        check(lib.tg_engine_unlisten(self._engine.handle, number, drain_ms), f"closing listener {number}")

    def leave(self, number: int) -> None:
        """Close our descriptor of a listening socket that another process serves: socket and backlog live on. Blocks
        until no worker uses it any more."""
        check(lib.tg_engine_leave(self._engine.handle, number), f"leaving listener {number}")

    def part(self, *, parts: bool) -> None:
        """While it parts, an answer on a connection that stays open says that this closes, and then it does. Idle
        connections are let be."""
        if not self._engine.is_closed:
            lib.tg_engine_part(self._engine.handle, parts)

    def drain(self) -> None:
        """From now on connections that stay open between requests are closed when they are idle, and those that are
        busy after their answer, which says so."""
        if not self._engine.is_closed:
            lib.tg_engine_drain(self._engine.handle)

    def accepted(self, number: int) -> int:
        """How many connections a listener that is open has accepted."""
        return check(lib.tg_engine_accepted(self._engine.handle, number), f"listener {number}")

    def set_verdict(self, scope: int, destination: SocketAddress | None, verdict: Verdict) -> None:
        """Decide for new connections of a scope to a destination.

        An exact destination wins over the unspecified address (`0.0.0.0`, `::`) with the same port, that over ANYTHING.
        Without any verdict a connection is punted. Raises ValueError for a malformed address, EngineError (EINVAL) for
        a verdict that can't be carried out: RELAY without an endpoint of positive weight, others with endpoints.
        """
        endpoints = ffi.new("tg_endpoint[]", len(verdict.endpoints))
        for row, endpoint in zip(endpoints, verdict.endpoints, strict=True):
            row.address = to_c(endpoint.address)
            row.weight, row.group, row.http_group = endpoint.weight, endpoint.group, endpoint.http_group
        denied = ffi.new("tg_network[]", [_network(one) for one in verdict.denied])
        asked = ffi.new(
            "tg_verdict *",
            {
                "affinity": verdict.affinity,
                "affinity_ms": verdict.affinity_ms,
                "denied": denied,
                "denied_count": len(verdict.denied),
                "id": verdict.id,
                "action": int(verdict.action),
                "balance": int(verdict.balance),
                "group": verdict.group,
                "http_group": verdict.http_group,
                "endpoints": endpoints,
                "endpoint_count": len(verdict.endpoints),
                "max_attempts": verdict.max_attempts,
                "max_connections": verdict.max_connections,
                "connect_timeout_ms": verdict.connect_timeout_ms,
                "idle_timeout_ms": verdict.idle_timeout_ms,
                "lifetime_ms": verdict.lifetime_ms,
                "keepalive": (0, 0, 0, 0) if verdict.keepalive is None else (1, *verdict.keepalive),
                "site": verdict.site,
                "speaks": int(verdict.speaks),
            },
        )
        told = (verdict.log_protocol, verdict.log_lane, verdict.log_reason, verdict.service)
        texts = [ffi.new("char[]", text) for text in told]
        asked.log_protocol, asked.log_lane, asked.log_reason, asked.service = texts
        address = ffi.new("tg_address *", to_c(destination))
        result = lib.tg_engine_set_verdict(self._engine.handle, scope, address, asked)
        check(result, f"verdict {verdict.id} for {destination} in scope {scope}")

    def remove_verdict(self, scope: int, destination: SocketAddress | None) -> None:
        """Forget a decision: new connections are decided by a wider verdict or punted. None there is no error."""
        address = ffi.new("tg_address *", to_c(destination))
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
            Punt(fd, scope, hops, certain(socket_address(*address[:4])), certain(known_address(*address[4:])))
            for fd, scope, hops, *address in PUNT.iter_unpack(ffi.buffer(rows, count * PUNT.size))
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
        """For connections that end from now on."""
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
            yield records(rows, count, live=True)

    def remembered(self, scope: int, destination: SocketAddress) -> Spoken:
        """What connections to the destination were last found to speak. UNKNOWN: nothing is remembered."""
        if self._engine.is_closed:
            return Spoken.UNKNOWN
        asked = ffi.new("tg_address *", to_c(destination))
        return Spoken(lib.tg_engine_remembered(self._engine.handle, scope, asked))

    def counters(self) -> list[Counters]:
        """Counters of every group for which something was ever counted."""
        if self._engine.is_closed:
            return []
        cursor = ffi.new("uint64_t *")
        rows = ffi.new("tg_counters[]", _BATCH)
        found: list[Counters] = []
        while count := lib.tg_engine_counters(self._engine.handle, cursor, rows, _BATCH):
            found += [counters(row) for row in rows[0:count]]
        return found

    def counters_of(self, group: int) -> Counters | None:
        """Counters of one group; None: no verdict has ever named it."""
        if self._engine.is_closed:
            return None
        row = ffi.new("tg_counters *")
        result = lib.tg_engine_group_counters(self._engine.handle, group, row)
        if result == -errno.ENOENT:
            return None
        check(result, f"counters of group {group}")
        return counters(row)

    def _collect(self, limit: int) -> list[Record]:
        rows = ffi.new("tg_record[]", limit)
        count = lib.tg_engine_records(self._engine.handle, rows, limit)
        return records(rows, count, live=False)

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
