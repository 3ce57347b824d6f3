"""What has gone through the proxy since it began, by direction, service, route and endpoint: the rows of /totals, from
which `tidegate top` makes rates. Numbers never go back, so the difference of two looks is what happened between."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.core.lanes import Direction

BOUNDS_MS = (
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0, 60000.0, 300000.0,
    600000.0, 1800000.0, 3600000.0,
)  # fmt: skip
"""Upper bounds of `durations`, which has one bucket more for what took longer."""

JsonRow = dict[str, str | int | list[int]]


class Key(NamedTuple):
    """service, route: names of configuration, or `-`; the route of requests to a database is its name and their kind
    (`redis GET`). endpoint: `ip:port`; empty: no endpoint was chosen, or each
    connection went to its own original destination."""

    direction: Direction
    service: str
    route: str
    endpoint: str
    lane: str


@dataclass(slots=True)
class Totals:
    """requests, failed: of HTTP; a request counts as failed with a status of 500 and above or without an answer.
    connections: of lanes that look at no requests; failed ones could not be made. Bytes are those that the workload
    sent and received."""

    requests: int = 0
    connections: int = 0
    failed: int = 0
    open: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    durations: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))

    def add(self, other: "Totals") -> None:
        for name in ("requests", "connections", "failed", "open", "bytes_sent", "bytes_received"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.durations = [a + b for a, b in zip(self.durations, other.durations, strict=True)]


def summed(parts: Iterable[tuple[Key, Totals]]) -> dict[Key, Totals]:
    found: dict[Key, Totals] = {}
    for key, totals in parts:
        found.setdefault(key, Totals()).add(totals)
    return found


def rows(found: dict[Key, Totals]) -> Iterator[JsonRow]:
    for key, one in sorted(found.items()):
        yield {
            **key._asdict(),
            "direction": str(key.direction),
            "requests": one.requests,
            "connections": one.connections,
            "failed": one.failed,
            "open": one.open,
            "bytes_sent": one.bytes_sent,
            "bytes_received": one.bytes_received,
            "durations": one.durations,
        }
