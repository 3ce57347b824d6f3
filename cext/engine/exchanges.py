"""What the engine tells of requests: counters by all that is told apart about them, and a record of each while records
are kept. Rendered to lines of the access log where lines are wanted (tell/request_line.c)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from cext.engine._engine import ffi, lib
from cext.engine.engine import Engine, check
from cext.engine.exchange_records import SeriesCounts, series_counts

_ROOM = 256 * 1024
_SERIES = 64


class Batch(NamedTuple):
    """Exchanges that have ended; `records` is for `exchange_records.records`, lines are whole. Of what was not asked
    for, nothing."""

    ended: int
    records: bytes
    text: bytes
    json: bytes


NOTHING = Batch(0, b"", b"", b"")


class Exchanges:
    """The exchanges of one engine. After the engine's close it gives what ended before."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rooms = {name: ffi.new("char[]", _ROOM) for name in ("records", "text", "json")}
        self._last: list[Batch] = []
        self._final: list[SeriesCounts] = []
        self._asked = (False, False, False)
        self._dropped = 0
        self._cpu_s = 0.0
        engine.before_close(self._save)

    def keep(self, kept: bool) -> None:
        """Have a record of each kept for `take`, or have them counted only (as at the beginning)."""
        check(lib.tg_engine_keep_exchanges(self._engine.handle, kept), "keeping records of requests")

    def take(self, *, records: bool = False, text: bool = False, json: bool = False) -> Batch:
        """Some of those that have ended, in the forms that are asked for; never blocks. The engine's `record_fd` stays
        readable while there are more."""
        if self._engine.is_closed:
            return self._last.pop(0) if self._last else NOTHING
        self._asked = (records, text, json)
        return self._take()

    @property
    def dropped(self) -> int:
        """Records that were lost because they were not taken in time, up to the last `take`."""
        return self._dropped

    def counters(self) -> Iterator[list[SeriesCounts]]:
        """Every series of every worker, some at a time. They never go back."""
        if self._engine.is_closed:
            yield self._final
            return
        cursor = ffi.new("uint64_t *")
        rows = ffi.new("tg_exchange_counters[]", _SERIES)
        while not self._engine.is_closed:
            count = lib.tg_engine_exchange_counters(self._engine.handle, cursor, rows, _SERIES)
            if count == 0:
                return
            yield series_counts(rows, count)

    def make_spans(self, share: float | None) -> None:
        """Have exchanges take part in traces as spans; of the traces that begin here, that share is sampled. None, as
        at the beginning: no span is made, and no byte of a request is changed for one."""
        per_million = -1 if share is None else round(share * 1_000_000)
        check(lib.tg_engine_make_spans(self._engine.handle, per_million), f"sampling {share} of traces")

    def cpu_s(self) -> float:
        """CPU time that the engine's threads have used."""
        if not self._engine.is_closed:
            self._cpu_s = lib.tg_engine_cpu_us(self._engine.handle) / 1e6
        return self._cpu_s

    def _take(self) -> Batch:
        batch: Any = ffi.new("tg_exchange_batch *")
        for (name, room), wanted in zip(self._rooms.items(), self._asked, strict=True):
            if wanted:
                setattr(batch, name, room)
                setattr(batch, f"{name}_room", _ROOM)
        lib.tg_engine_exchanges(self._engine.handle, batch)
        self._dropped = batch.dropped
        found = [ffi.buffer(room, getattr(batch, f"{name}_size"))[:] for name, room in self._rooms.items()]
        return Batch(batch.count, *found)

    def _save(self) -> None:
        while (batch := self._take()).ended:
            self._last.append(batch)
        self._cpu_s = self.cpu_s()
        self._final = [one for some in self.counters() for one in some]
