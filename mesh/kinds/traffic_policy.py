"""TrafficPolicy (tidegate.dev/v1alpha1): how connections to a Service are balanced, limited and admitted."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from mesh.kinds.meta import Metadata, Own, OwnTargetRef
from mesh.kinds.requests import Deadline, Hedging, RequestRate, RequestTimeouts, Retries, Shedding
from mesh.yaml.texts import Cidr, Duration, seconds

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Percent = Annotated[int, Meta(ge=0, le=100)]
LaneName = Literal["auto", "direct", "splice", "parsed"]
Balancer = Literal["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "PASSTHROUGH", "LEAST_CONN", "UNSPECIFIED"]


class LoadBalancer(Own, frozen=True, kw_only=True):
    simple: Balancer = "UNSPECIFIED"


class TcpPool(Own, frozen=True, kw_only=True):
    max_connections: Count | None = None
    connect_timeout: Duration | None = None
    idle_timeout: Duration | None = None
    max_connection_duration: Duration | None = None


class HttpPool(Own, frozen=True, kw_only=True):
    http1_max_pending_requests: Count | None = field(name="http1MaxPendingRequests", default=None)
    http2_max_requests: Count | None = field(name="http2MaxRequests", default=None)
    max_requests_per_connection: Count | None = None
    max_retries: Count | None = None
    idle_timeout: Duration | None = None
    max_concurrent_streams: Count | None = None
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] | None = field(
        name="h2UpgradePolicy", default=None
    )
    use_client_protocol: bool | None = None


class ConnectionPool(Own, frozen=True, kw_only=True):
    tcp: TcpPool = TcpPool()
    http: HttpPool | None = None


class OutlierDetection(Own, frozen=True, kw_only=True):
    consecutive_errors: Count | None = None
    consecutive_gateway_errors: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    consecutive5xx_errors: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = field(
        name="consecutive5xxErrors", default=None
    )
    consecutive_local_origin_failures: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    split_external_local_origin_errors: bool = False
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: Percent | None = None
    min_health_percent: Percent | None = None


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
    outlier_detection: OutlierDetection | None = None
    denied_sources: Annotated[tuple[Cidr, ...], Meta(max_length=10_000)] = ()
    connection_rate_limit: RateLimit | None = None
    timeouts: RequestTimeouts | None = None
    deadline: Deadline | None = None
    retries: Retries | None = None
    hedging: Hedging | None = None
    rate_limit: RequestRate | None = None
    shedding: Shedding | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.retries is not None and self.timeouts is not None:
            each, whole = self.retries.per_try_timeout, self.timeouts.request
            if each is not None and whole is not None and seconds(each) > seconds(whole):
                yield (
                    self.retries.line,
                    f"retries.perTryTimeout: {each!r} is not valid: at most timeouts.request, {whole}",
                )
        pool = self.connection_pool.tcp
        if pool.max_connection_duration is None or pool.connect_timeout is None:
            return
        if seconds(pool.connect_timeout) > seconds(pool.max_connection_duration):
            yield (
                pool.line,
                "connectionPool.tcp.connectTimeout: at most maxConnectionDuration, which would end it first",
            )


class TrafficPolicy(Own, frozen=True, kw_only=True):
    api_version: str
    kind: str
    metadata: Metadata
    spec: TrafficPolicySpec
    status: Any = None
