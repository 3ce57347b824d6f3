"""The engine's counters of requests, added up by what the metrics tell apart."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cext.engine.exchange_records import SeriesCounts
from cext.engine.exchanges import Exchanges
from proxy.core.decide.verdict import PASSTHROUGH
from proxy.core.lanes import Direction
from proxy.core.policy.policy import ServiceName
from proxy.core.report.flags import shown_flags


class Group(NamedTuple):
    """What a number in the engine's counters stands for."""

    cluster: str
    endpoint: str
    """Empty: requests that were answered without one, or that went to their original destination."""
    service: ServiceName | None


class Told(NamedTuple):
    """What Istio's metrics tell apart."""

    direction: Direction
    cluster: str
    service: ServiceName | None
    status: int
    flags: str
    grpc: int | None


class Routed(NamedTuple):
    """What ours tell apart: `route` and `service` are names of configuration, or `-`."""

    direction: Direction
    service: str
    route: str


class Endpoint(NamedTuple):
    cluster: str
    endpoint: str
    status: str
    """A class: 2xx, or 0 where no answer was begun."""


@dataclass(slots=True)
class Sums:
    requests: int = 0
    attempts: int = 0
    duration_us: int = 0
    upstream_us: int = 0
    proxy_us: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    durations: list[int] = field(default_factory=list)
    upstream_times: list[int] = field(default_factory=list)
    request_sizes: list[int] = field(default_factory=list)
    response_sizes: list[int] = field(default_factory=list)
    proxy_times: list[int] = field(default_factory=list)

    def add(self, one: SeriesCounts) -> None:
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(one, name))
        for name in _BUCKETS:
            before, more = getattr(self, name), getattr(one, name)
            setattr(self, name, [a + b for a, b in zip(before, more, strict=True)] if before else list(more))


_NUMBERS = ("requests", "attempts", "duration_us", "upstream_us", "proxy_us", "request_bytes", "response_bytes")
_BUCKETS = ("durations", "upstream_times", "request_sizes", "response_sizes", "proxy_times")


class RequestCounts:
    """group: what a group's number stands for; None where it is not known any more."""

    def __init__(self, exchanges: Exchanges, group: Callable[[int], Group | None]) -> None:
        self._exchanges = exchanges
        self._group = group
        self.told: dict[Told, Sums] = {}
        self.routed: dict[Routed, Sums] = {}
        self.endpoints: dict[Endpoint, int] = {}
        self.requests = 0

    def read(self) -> Iterator[None]:
        """Brings all of them up to date, in steps; they are whole when it ends."""
        told: dict[Told, Sums] = {}
        routed: dict[Routed, Sums] = {}
        endpoints: dict[Endpoint, int] = {}
        for some in self._exchanges.counters():
            for one in some:
                if one.requests:
                    self._add(one, told, routed, endpoints)
            yield
        self.told, self.routed, self.endpoints = told, routed, endpoints
        self.requests = sum(sums.requests for sums in routed.values())

    def _add(
        self, one: SeriesCounts, told: dict[Told, Sums], routed: dict[Routed, Sums], endpoints: dict[Endpoint, int]
    ) -> None:
        direction = Direction.INBOUND if one.inbound else Direction.OUTBOUND
        group = self._group(one.group) if one.group else None
        # The backend's Service counts, as with Istio; what went to none counts for the Service that was called.
        service = group.service if group is not None and group.endpoint else _service(one.service)
        cluster = group.cluster if group is not None else PASSTHROUGH[direction]
        key = Told(direction, cluster, service, one.status, shown_flags(one.flags), one.grpc)
        told.setdefault(key, Sums()).add(one)
        routed.setdefault(Routed(direction, one.service or "-", one.route or "-"), Sums()).add(one)
        if group is not None and group.endpoint:
            status = f"{one.status // 100 or one.status}xx" if one.status else "0"
            endpoint = Endpoint(group.cluster, group.endpoint, status)
            endpoints[endpoint] = endpoints.get(endpoint, 0) + one.requests


def _service(text: str) -> ServiceName | None:
    namespace, slash, name = text.partition("/")
    return ServiceName(namespace, name) if slash else None
