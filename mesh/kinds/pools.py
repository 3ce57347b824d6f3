"""What a TrafficPolicy asks of endpoints and of the connections to them: limits, ejection, health checks."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, field

from mesh.kinds.filters import Header
from mesh.kinds.meta import Own
from mesh.yaml.names import Authority, CheckPath, StatusRange
from mesh.yaml.texts import Duration, Port

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Unlimited = Annotated[int, Meta(ge=0, le=2**32 - 1)]
"""0 means no limit, as in Istio."""
Percent = Annotated[int, Meta(ge=0, le=100)]
Failures = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Threshold = Annotated[int, Meta(ge=1, le=1000)]


class TcpKeepalive(Own, frozen=True, kw_only=True):
    time: Duration | None = None
    interval: Duration | None = None
    probes: Annotated[int, Meta(ge=1, le=127)] | None = None


class TcpPool(Own, frozen=True, kw_only=True):
    max_connections: Count | None = None
    connect_timeout: Duration | None = None
    idle_timeout: Duration | None = None
    max_connection_duration: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None


class HttpPool(Own, frozen=True, kw_only=True):
    http1_max_pending_requests: Unlimited = field(name="http1MaxPendingRequests", default=0)
    http2_max_requests: Unlimited = field(name="http2MaxRequests", default=0)
    max_requests_per_connection: Unlimited = 0
    max_retries: Unlimited = 0
    idle_timeout: Duration = "1h"
    max_concurrent_streams: Unlimited = 0
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] | None = field(
        name="h2UpgradePolicy", default=None
    )
    use_client_protocol: bool | None = None


class PerEndpoint(Own, frozen=True, kw_only=True):
    max_connections: Count | None = None
    max_requests: Count | None = None


class ConnectionPool(Own, frozen=True, kw_only=True):
    tcp: TcpPool = TcpPool()
    http: HttpPool | None = None
    per_endpoint: PerEndpoint | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        each = self.per_endpoint or PerEndpoint()
        requests = 0 if self.http is None else self.http.http2_max_requests
        for name, one, other, everything in (
            ("maxConnections", each.max_connections, "tcp.maxConnections", self.tcp.max_connections),
            ("maxRequests", each.max_requests, "http.http2MaxRequests", requests),
        ):
            if one and everything and one > everything:
                yield each.line, f"perEndpoint.{name}: {one} is not valid: at most {other}, {everything}"


class SuccessRate(Own, frozen=True, kw_only=True):
    minimum_hosts: Annotated[int, Meta(ge=2, le=100_000)] = 5
    request_volume: Count = 100
    stdev_factor: Annotated[float, Meta(ge=0, le=100)] = 1.9


class OutlierDetection(Own, frozen=True, kw_only=True):
    """A count of 0 switches the kind of failure off."""

    consecutive_errors: Count | None = None
    consecutive_gateway_errors: Failures = 0
    consecutive5xx_errors: Failures = field(name="consecutive5xxErrors", default=5)
    consecutive_local_origin_failures: Failures = 5
    split_external_local_origin_errors: bool = False
    interval: Duration = "10s"
    base_ejection_time: Duration = "30s"
    max_ejection_percent: Percent = 10
    min_health_percent: Percent = 0
    success_rate: SuccessRate | None = None


class HttpCheck(Own, frozen=True, kw_only=True):
    path: CheckPath
    method: Literal["GET", "HEAD", "POST", "OPTIONS"] = "GET"
    host: Authority = ""
    headers: Annotated[tuple[Header, ...], Meta(max_length=16)] = ()
    expected_statuses: Annotated[tuple[StatusRange, ...], Meta(min_length=1, max_length=32)] = ("200-299",)


class TcpCheck(Own, frozen=True, kw_only=True):
    """The connection is made, and closed again."""


class HealthCheck(Own, frozen=True, kw_only=True):
    http: HttpCheck | None = None
    tcp: TcpCheck | None = None
    port: Port | None = None
    interval: Duration = "5s"
    timeout: Duration = "1s"
    unhealthy_threshold: Threshold = 3
    healthy_threshold: Threshold = 2

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if (self.http is None) == (self.tcp is None):
            yield self.line, "http and tcp: exactly one of them must be given"
