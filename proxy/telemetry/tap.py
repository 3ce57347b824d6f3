"""What viewers see of requests and connections as they end. Nobody looks: nothing is done. Somebody does: a viewer
gets as much as there is time for, and is told how much it has missed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cext.engine.exchange_records import heads, record
from cext.engine.exchanges import Batch
from proxy.core.report import fields, request_fields
from proxy.core.report.record import ConnectionRecord
from proxy.core.report.wanted import Wanted
from proxy.telemetry.exchange_told import told

MOST = 200
"""Requests that are looked at closely for one viewer, of each batch."""
STATUS = 29
"""Its place among the fields of `heads`."""


class Viewer(Protocol):
    def put(self, data: bytes, items: int = 1) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Following:
    viewer: Viewer
    wanted: Wanted


class Tap:
    """Belongs to the event loop. changed: called when the first viewer comes and when the last one has gone."""

    def __init__(self, changed: Callable[[bool], None]) -> None:
        self._changed = changed
        self._following: tuple[_Following, ...] = ()

    @property
    def is_on(self) -> bool:
        return bool(self._following)

    def follow(self, viewer: Viewer, wanted: Wanted) -> Callable[[], None]:
        """Show it what ends from now on, until what this returns is called."""
        mine = _Following(viewer, wanted)
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

    def requests(self, batch: Batch) -> None:
        """batch: with records and JSON lines."""
        for one in self._following:
            if one.wanted.everything:
                one.viewer.put(batch.json, batch.ended)
            else:
                self._chosen(one, batch.records)

    def _chosen(self, one: _Following, batch: bytes) -> None:
        lines: list[str] = []
        looked_at = missed = 0
        for at, values in heads(batch):
            if not one.wanted.takes_status(values[STATUS]):
                continue
            if looked_at == MOST:
                missed += 1
                continue
            looked_at += 1
            request = told(record(batch, at, values))
            if one.wanted.takes(request):
                lines.append(request_fields.json_line(request) + "\n")
        if lines:
            one.viewer.put("".join(lines).encode(), len(lines))
        if missed:
            one.viewer.put(notice(missed), 0)


def notice(items: int) -> bytes:
    """The line that tells a viewer that it was not shown so many (which may or may not have passed its filter)."""
    return b'{"dropped":%d}\n' % items
