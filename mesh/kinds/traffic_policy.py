"""TrafficPolicy (tidegate.dev/v1alpha1): how connections and requests to a Service are balanced, limited, admitted."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from mesh.kinds.balancing import LoadBalancer, Subset
from mesh.kinds.meta import Metadata, Own, OwnTargetRef
from mesh.kinds.pools import ConnectionPool, Count, HealthCheck, OutlierDetection
from mesh.kinds.requests import Deadline, Fault, Hedging, RequestRate, RequestTimeouts, Retries, Shedding
from mesh.yaml.texts import Cidr, Duration, seconds

LaneName = Literal["auto", "direct", "splice", "parsed"]
Factor = Annotated[float, Meta(ge=0, le=1)]


class RateLimit(Own, frozen=True, kw_only=True):
    """At most `connections` new ones an `interval` in the long run, and `burst` (default: connections) at once."""

    connections: Count
    interval: Duration = "1s"
    burst: Count | None = None


class TrafficPolicySpec(Own, frozen=True, kw_only=True):
    target_refs: Annotated[tuple[OwnTargetRef, ...], Meta(min_length=1, max_length=16)]
    lane: LaneName = "auto"
    load_balancer: LoadBalancer = LoadBalancer()
    connection_pool: ConnectionPool = ConnectionPool()
    subsets: Annotated[tuple[Subset, ...], Meta(max_length=256)] = ()
    outlier_detection: OutlierDetection | None = None
    status_weights: dict[str, Factor] = field(default_factory=dict)
    health_checks: Annotated[tuple[HealthCheck, ...], Meta(max_length=8)] = ()
    denied_sources: Annotated[tuple[Cidr, ...], Meta(max_length=10_000)] = ()
    connection_rate_limit: RateLimit | None = None
    timeouts: RequestTimeouts | None = None
    deadline: Deadline | None = None
    retries: Retries | None = None
    hedging: Hedging | None = None
    rate_limit: RequestRate | None = None
    shedding: Shedding | None = None
    fault: Fault | None = None
    side: Literal["outbound", "inbound"] = "outbound"

    def mistakes(self) -> Iterator[tuple[int, str]]:
        yield from self._times()
        yield from self._names()
        if self.side == "inbound" and not (self.rate_limit or self.shedding or self.fault):
            yield self.line, "side: inbound is not valid without rateLimit, shedding or fault, for which alone it is"
        of_endpoints = self.subsets or self.health_checks or self.outlier_detection
        if self.load_balancer.simple == "PASSTHROUGH" and of_endpoints:
            yield (
                self.load_balancer.line,
                "loadBalancer.simple: PASSTHROUGH knows no endpoints, so subsets, healthChecks and outlierDetection "
                "exclude it",
            )

    def _times(self) -> Iterator[tuple[int, str]]:
        whole = None if self.timeouts is None else self.timeouts.request
        each = None if self.retries is None else self.retries.per_try_timeout
        if self.retries is not None and whole is not None and each is not None and seconds(each) > seconds(whole):
            what = f"retries.perTryTimeout: {each!r} is not valid: at most timeouts.request, {whole}"
            yield self.retries.line, what
        if self.hedging is not None and whole is not None and seconds(self.hedging.min_delay) >= seconds(whole):
            what = f"hedging.minDelay: {self.hedging.min_delay!r} is not valid: less than timeouts.request, {whole}"
            yield self.hedging.line, what
        pool = self.connection_pool.tcp
        if pool.max_connection_duration is None or pool.connect_timeout is None:
            return
        if seconds(pool.connect_timeout) > seconds(pool.max_connection_duration):
            yield (
                pool.line,
                "connectionPool.tcp.connectTimeout: at most maxConnectionDuration, which would end it first",
            )

    def _names(self) -> Iterator[tuple[int, str]]:
        names = [one.name for one in self.subsets]
        for number, one in enumerate(self.subsets):
            if one.name in names[:number]:
                yield one.line, f"subsets[].name: {one.name!r} is not valid: another subset has that name"
        for status in self.status_weights:
            if not (status.isascii() and status.isdigit() and 100 <= int(status[:4]) <= 599 and len(status) == 3):
                yield self.line, f"statusWeights: {status!r} is not valid: a status such as 503"


class TrafficPolicy(Own, frozen=True, kw_only=True):
    api_version: str
    kind: str
    metadata: Metadata
    spec: TrafficPolicySpec
    status: Any = None
