"""What a TrafficPolicy says of a Service's endpoints: choosing one, ejecting one, limits on their use.

It belongs to the cluster that a request is sent to, which need not be the Service that the client called. What holds
for the request as a whole is in `settings`."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class HttpBalancing(StrEnum):
    """How an endpoint is chosen for a request. A consistent hash, where there is one, is asked instead."""

    EWMA = "EWMA"
    """Of two random endpoints, the one with the lower peak EWMA of its time to first byte."""
    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"


class HashTable(StrEnum):
    RING = "ring"
    MAGLEV = "maglev"


@dataclass(frozen=True, slots=True)
class ConsistentHash:
    """Exactly one of header, cookie, parameter and source_ip is what is hashed."""

    header: str = ""
    """In lower case."""
    cookie: str = ""
    cookie_path: str = ""
    cookie_ttl_s: float | None = None
    """A client without the cookie is given one that lives for as long; None: given none, 0: for its session."""
    parameter: str = ""
    source_ip: bool = False
    table: HashTable = HashTable.RING
    size: int = 1024
    """Of a ring: the least number of places; of maglev: the table's size, a prime."""


class Distribution(NamedTuple):
    """`from` and `to` are region/zone/subzone, where `*` stands for all that begin so. Percentages add up to 100."""

    source: str
    to: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class LocalitySettings:
    """Istio's localityLbSetting. At most one of distribute and failover is there."""

    enabled: bool = True
    distribute: tuple[Distribution, ...] = ()
    failover: tuple[tuple[str, str], ...] = ()
    """Region -> the region that is used when the first has no healthy endpoint left."""


@dataclass(frozen=True, slots=True)
class Warmup:
    """A new endpoint's share grows from `minimum_percent` to all of it."""

    duration_s: float
    minimum_percent: float = 10.0
    aggression: float = 1.0


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """An endpoint is ejected whose success rate is below the mean by `stdev_factor` standard deviations."""

    minimum_hosts: int = 5
    request_volume: int = 100
    stdev_factor: float = 1.9


@dataclass(frozen=True, slots=True)
class Outlier:
    """A count of 0 means that the kind of failure ejects nothing."""

    consecutive_5xx: int = 5
    consecutive_gateway: int = 0
    consecutive_local: int = 5
    """Failures without any answer. They count here instead of as gateway errors if `split_local` is set."""
    split_local: bool = False
    interval_s: float = 10.0
    base_ejection_s: float = 30.0
    max_ejection_percent: int = 10
    min_health_percent: int = 0
    success_rate: SuccessRate | None = None


class HealthProtocol(StrEnum):
    HTTP = "http"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    protocol: HealthProtocol
    path: str = "/"
    """The fields from here to `headers` are of HTTP checks only."""
    method: str = "GET"
    host: str = ""
    """Empty: the Service's host name."""
    expected: tuple[tuple[int, int], ...] = ((200, 299),)
    """Ranges of statuses, both ends included."""
    headers: tuple[tuple[str, str], ...] = ()
    port: int | None = None
    """None: the endpoint's own."""
    interval_s: float = 5.0
    timeout_s: float = 1.0
    unhealthy_threshold: int = 3
    healthy_threshold: int = 2


class Keepalive(NamedTuple):
    """Of TCP; None: the kernel's own setting."""

    time_s: float | None = None
    interval_s: float | None = None
    probes: int | None = None

    def whole(self) -> tuple[int, int, int]:
        """As sockets take it: whole seconds, 0 for the kernel's own setting."""
        time_s, interval_s = (None if one is None else max(1, round(one)) for one in (self.time_s, self.interval_s))
        return time_s or 0, interval_s or 0, self.probes or 0


@dataclass(frozen=True, slots=True)
class Limits:
    """Over the whole Service in one proxy, but for those `per_endpoint`. None: no limit."""

    connections: int | None = None
    """The value of `Cluster.max_connections`."""
    pending: int | None = None
    requests: int | None = None
    requests_per_connection: int | None = None
    retries: int | None = None
    """At one time."""
    idle_s: float = 3600.0
    """An upstream connection without a request is closed after as long."""
    endpoint_connections: int | None = None
    endpoint_requests: int | None = None


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    balancing: HttpBalancing = HttpBalancing.EWMA
    hash: ConsistentHash | None = None
    locality: LocalitySettings | None = None
    """None: localities have no say."""
    warmup: Warmup | None = None
    outlier: Outlier | None = None
    """None: no endpoint is ejected."""
    status_weights: tuple[tuple[int, float], ...] = ()
    """Answers with the status bring an endpoint's weight to that factor."""
    health_checks: tuple[HealthCheck, ...] = ()
    limits: Limits = field(default_factory=Limits)
    keepalive: Keepalive | None = None


DEFAULT_UPSTREAM = UpstreamSettings()
