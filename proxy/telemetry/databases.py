"""What is told of requests to databases: metrics, and rows of /totals. No label comes from a client's bytes: the kinds
are few, and the engine's own words (cext/engine/database/kinds.c)."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from cext.engine.databases import Statements
from proxy.core.lanes import Direction
from proxy.core.report.totals import Key, Totals
from proxy.telemetry.exposition import SECONDS_BOUNDS, header, histogram, labelled, sample


class Place(NamedTuple):
    """What a group's number stands for. endpoint: empty where connections go to their original destinations."""

    direction: Direction
    cluster: str
    service: str
    endpoint: str
    lane: str


class DatabaseCounts:
    """Looks when somebody asks. place: None where a group is not known any more."""

    def __init__(self, counts: Callable[[], Iterable[Statements]], place: Callable[[int], Place | None]) -> None:
        self._counts = counts
        self._place = place

    def placed(self) -> Iterator[tuple[Place, Statements]]:
        for one in self._counts():
            place = self._place(one.group)
            if place is not None:
                yield place, one

    def totals(self) -> Iterator[tuple[Key, Totals]]:
        """Bytes and connections are counted in rows of their own."""
        for place, one in self.placed():
            key = Key(place.direction, place.service, f"{one.database} {one.kind}", place.endpoint, place.lane)
            yield (
                key,
                Totals(requests=one.answered + one.failed, failed=one.failed, durations=list(one.durations)),
            )

    def lines(self, *, openmetrics: bool) -> Iterator[str]:
        found: dict[str, list[Statements]] = {}
        for place, one in self.placed():
            labels = labelled(
                {
                    "direction": place.direction,
                    "cluster": place.cluster,
                    "service": place.service,
                    "endpoint": place.endpoint,
                    "database": one.database,
                    "kind": one.kind,
                }
            )
            found.setdefault(labels, []).append(one)
        name = "tidegate_database_requests_total"
        yield header(name, "counter", "Requests to databases.", openmetrics=openmetrics)
        for labels, some in found.items():
            for status, count in (
                ("ok", sum(one.answered for one in some)),
                ("error", sum(one.failed for one in some)),
            ):
                if count:
                    yield sample(name, f'{labels},status="{status}"', count)
        name = "tidegate_database_request_seconds"
        yield header(name, "histogram", "From a request to its answer.", openmetrics=openmetrics)
        for labels, some in found.items():
            durations = [sum(times) for times in zip(*(one.durations for one in some), strict=True)]
            yield histogram(name, labels, SECONDS_BOUNDS, durations, sum(one.duration_us for one in some) / 1e6)
