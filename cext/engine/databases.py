"""Requests to databases, as the engine counts them in connections that it relays as bytes."""

from typing import Any, NamedTuple

from cext.engine._engine import ffi, lib
from cext.engine.engine import Engine
from cext.engine.layout import socket_address
from cext.engine.values import SocketAddress

NAMES = {1: "redis", 2: "postgresql", 3: "mysql"}
_BATCH = 64
MOST = 256
"""Requests that are taken at a time."""


class Statements(NamedTuple):
    """Those of one kind in connections of one group. kind: one of few words. durations: by Istio's bounds, of all."""

    group: int
    database: str
    kind: str
    answered: int
    failed: int
    duration_us: int
    durations: list[int]


class Statement(NamedTuple):
    """One request. ended_us: of the monotonic clock."""

    group: int
    database: str
    kind: str
    failed: bool
    ended_us: int
    duration_us: int
    peer: SocketAddress | None
    original: SocketAddress | None
    upstream: SocketAddress | None


class Databases:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def follow(self, on: bool) -> None:
        """Look for databases in new connections, or do not. Raises EngineError when the engine is closed."""
        lib.tg_engine_follow_databases(self._engine.handle, on)

    def counts(self) -> list[Statements]:
        """As of now; they never go back. Taken at once: a walk that pauses might meet a closed engine."""
        if self._engine.is_closed:
            return []
        cursor = ffi.new("uint64_t *")
        rows = ffi.new("tg_statements[]", _BATCH)
        found = []
        while count := lib.tg_engine_statements(self._engine.handle, cursor, rows, _BATCH):
            found += [_statements(row) for row in rows[0:count]]
        return found

    def tell(self, on: bool) -> None:
        """Have requests told one by one from now on, or no longer."""
        if not self._engine.is_closed:
            lib.tg_engine_tell_statements(self._engine.handle, on)

    def take(self) -> tuple[list[Statement], int]:
        """At most MOST that have ended, oldest first, and how many were lost since this was last called."""
        if self._engine.is_closed:
            return [], 0
        rows = ffi.new("tg_statement[]", MOST)
        dropped = ffi.new("uint64_t *")
        count = lib.tg_engine_take_statements(self._engine.handle, rows, MOST, dropped)
        return [_statement(row) for row in rows[0:count]], dropped[0]


def _statement(row: Any) -> Statement:
    kind = ffi.string(row.kind).decode("ascii")
    places = (_address(row.peer), _address(row.original), _address(row.upstream))
    return Statement(row.group, NAMES[row.database], kind, bool(row.failed), row.ended_us, row.duration_us, *places)


def _address(one: Any) -> SocketAddress | None:
    return socket_address(bytes(one.ip), one.zone, one.port, one.family)


def _statements(row: Any) -> Statements:
    kind = ffi.string(row.kind).decode("ascii")
    counted = (row.answered, row.failed, row.duration_us, list(row.durations))
    return Statements(row.group, NAMES[row.database], kind, *counted)
