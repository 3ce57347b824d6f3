"""Takes what the engine tells of requests, and passes it on to the access log and to all who look."""

from collections.abc import Callable

from cext.engine.exchange_records import records
from cext.engine.exchanges import Batch, Exchanges
from proxy.core.report.request import RequestRecord
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.exchange_told import told
from proxy.telemetry.recent import Recent
from proxy.telemetry.tap import Tap

BATCHES = 4
"""That are taken in one turn of the event loop."""


class Requests:
    """Belongs to the event loop. tell: gets each request by itself, where somebody must hear of all (`tidegate run`);
    there the log has no reader, and no lines are made. spans: gets each batch of records, where traces are exported."""

    def __init__(
        self,
        exchanges: Exchanges,
        log: AccessLog,
        tap: Tap,
        *,
        tell: Callable[[RequestRecord], None] | None = None,
        spans: Callable[[bytes], None] | None = None,
    ) -> None:
        self._exchanges = exchanges
        self._log = log
        self._tap = tap
        self._tell = tell
        self._spans = spans
        self.recent = Recent()
        exchanges.keep(True)

    @property
    def dropped(self) -> int:
        """Requests that were counted, but neither logged nor shown: there was no time to."""
        return self._exchanges.dropped

    def take(self) -> None:
        """Some of those that wait; the engine's descriptor stays readable while there are more."""
        for _ in range(BATCHES):
            if not self._take():
                return

    def take_last(self) -> None:
        """After the engine's close."""
        while self._take():
            pass

    def _take(self) -> bool:
        is_logged = self._tell is None
        batch = self._exchanges.take(
            records=True,
            text=is_logged and not self._log.is_json,
            json=(is_logged and self._log.is_json) or self._tap.needs_lines,
        )
        if batch.ended:
            self._pass_on(batch)
        return batch.ended > 0

    def _pass_on(self, batch: Batch) -> None:
        self.recent.add(batch)
        if self._tell is None:
            self._log.rendered(batch.json if self._log.is_json else batch.text, batch.ended)
        else:
            for record in records(batch.records):
                self._tell(told(record))
        if self._tap.is_on:
            self._tap.requests(batch)
        if self._spans is not None:
            self._spans(batch.records)
