"""The last requests, kept as the engine told of them: they are made readable when somebody asks for them."""

from collections import deque
from collections.abc import Iterator

from cext.engine.exchange_records import records
from cext.engine.exchanges import Batch
from proxy.core.report.request import RequestRecord
from proxy.telemetry.exchange_told import told

MOST = 1000


class Recent:
    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._batches: deque[Batch] = deque()
        self._count = 0

    def add(self, batch: Batch) -> None:
        if not batch.ended:
            return
        self._batches.append(batch._replace(text=b"", json=b""))
        self._count += batch.ended
        while self._count - self._batches[0].ended >= self._most:
            self._count -= self._batches.popleft().ended

    def requests(self) -> list[RequestRecord]:
        """At most so many, newest last: by when they ended."""
        found = sorted(self._all(), key=lambda one: one.started_at + one.duration_us / 1e6)
        return found[-self._most :]

    def _all(self) -> Iterator[RequestRecord]:
        return (told(record) for batch in self._batches for record in records(batch.records))
