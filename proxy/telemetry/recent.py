"""The last requests, kept as the engine told of them and made readable when they are asked for; and the last
connections that were told of one by one, as all are while `tap` looks on."""

from collections import deque
from collections.abc import Iterator

from cext.engine.exchange_records import records
from cext.engine.exchanges import Batch
from proxy.core.report.record import ConnectionRecord
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

    def find(self, number: int) -> RequestRecord | None:
        """The one with that id."""
        return next((one for one in self._all() if one.id == number), None)

    def _all(self) -> Iterator[RequestRecord]:
        return (told(record) for batch in self._batches for record in records(batch.records))


class RecentConnections:
    """Ids are the engine's or the punted connections' own, so two of them may be the same."""

    def __init__(self, most: int = MOST) -> None:
        self._kept: deque[ConnectionRecord] = deque(maxlen=most)

    def add(self, record: ConnectionRecord) -> None:
        self._kept.append(record)

    def find(self, number: int) -> list[ConnectionRecord]:
        return [one for one in self._kept if one.id == number]
