"""Requests to databases, as the engine counts them in connections that it relays as bytes."""

from typing import Any, NamedTuple

from cext.engine._engine import ffi, lib
from cext.engine.engine import Engine

NAMES = {1: "redis", 2: "postgresql", 3: "mysql"}
_BATCH = 64


class Statements(NamedTuple):
    """Those of one kind in connections of one group. kind: one of few words. durations: by Istio's bounds, of all."""

    group: int
    database: str
    kind: str
    answered: int
    failed: int
    duration_us: int
    durations: list[int]


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


def _statements(row: Any) -> Statements:
    kind = ffi.string(row.kind).decode("ascii")
    counted = (row.answered, row.failed, row.duration_us, list(row.durations))
    return Statements(row.group, NAMES[row.database], kind, *counted)
