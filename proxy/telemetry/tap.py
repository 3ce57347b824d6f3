"""What viewers see of requests and connections as they end. Nobody looks: nothing is done. Somebody does: a viewer
gets as much as there is time for, and is told how much it has missed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cext.engine.exchange_records import heads, record
from cext.engine.exchanges import Batch
from proxy.core.report import fields, request_fields
from proxy.core.report import statement as statements
from proxy.core.report.record import ConnectionRecord
from proxy.core.report.statement import StatementRecord
from proxy.core.report.wanted import Wanted
from proxy.telemetry.exchange_told import told
from proxy.telemetry.sieve import Sieve

SHARE = 0.03
"""Of the time, for choosing among requests; what it does not suffice for is not shown, and counted."""
BURST_S = 0.02
"""That may be saved up."""
EACH = 16
"""Requests that are looked at between two looks at the clock."""


class Viewer(Protocol):
    def put(self, data: bytes, items: int = 1) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Following:
    viewer: Viewer
    wanted: Wanted
    sieve: Sieve


class Tap:
    """Belongs to the event loop. changed: called when the first viewer comes and when the last one has gone. now:
    seconds of a monotonic clock."""

    def __init__(self, changed: Callable[[bool], None], now: Callable[[], float] = time.perf_counter) -> None:
        self._changed = changed
        self._now = now
        self._following: tuple[_Following, ...] = ()
        self._saved_s = BURST_S
        self._saved_at = now()

    @property
    def is_on(self) -> bool:
        return bool(self._following)

    @property
    def needs_lines(self) -> bool:
        """Whether a viewer is shown everything, in lines that the engine renders."""
        return any(one.wanted.everything for one in self._following)

    def follow(self, viewer: Viewer, wanted: Wanted) -> Callable[[], None]:
        """Show it what ends from now on, until what this returns is called."""
        mine = _Following(viewer, wanted, Sieve(wanted))
        self._following = (*self._following, mine)
        if len(self._following) == 1:
            self._changed(True)

        def end() -> None:
            if mine in self._following:
                self._following = tuple(one for one in self._following if one is not mine)
                if not self._following:
                    self._changed(False)

        return end

    def connection(self, connection: ConnectionRecord) -> None:
        if not self._following:
            return
        line = fields.tap_line(connection).encode("utf-8", "backslashreplace") + b"\n"
        for one in self._following:
            if one.wanted.takes_connection(connection):
                one.viewer.put(line)

    def statement(self, statement: StatementRecord) -> None:
        line = statements.json_line(statement).encode() + b"\n"
        for one in self._following:
            if one.wanted.takes_statement(statement):
                one.viewer.put(line)

    def missed(self, items: int) -> None:
        """So many ended that nobody could look at."""
        for one in self._following:
            one.viewer.put(notice(items), 0)

    def requests(self, batch: Batch) -> None:
        """batch: with records, and with JSON lines where they are needed."""
        for one in self._following:
            if one.wanted.everything:
                one.viewer.put(batch.json, batch.ended)
            else:
                self._chosen(one, batch)

    def _chosen(self, one: _Following, batch: Batch) -> None:
        began = self._now()
        self._saved_s = min(BURST_S, self._saved_s + (began - self._saved_at) * SHARE)
        lines, missed = self._lines(one, batch, began + self._saved_s)
        if lines:
            one.viewer.put("".join(lines).encode(), len(lines))
        if missed:
            one.viewer.put(notice(missed), 0)
        self._saved_at = self._now()
        self._saved_s -= self._saved_at - began

    def _lines(self, one: _Following, batch: Batch, until: float) -> tuple[list[str], int]:
        """Those of what passes the filter, as far as the time suffices; how many were not looked at."""
        lines: list[str] = []
        for number, (at, values) in enumerate(heads(batch.records)):
            if number % EACH == 0 and self._now() >= until:
                return lines, batch.ended - number
            if one.sieve.lets(batch.records, at, values):
                request = told(record(batch.records, at, values))
                if one.wanted.takes(request):
                    lines.append(request_fields.json_line(request) + "\n")
        return lines, 0


def notice(items: int) -> bytes:
    """The line that tells a viewer that it was not shown so many (which may or may not have passed its filter)."""
    return b'{"dropped":%d}\n' % items
