"""What a TrafficPolicy says of a Service's endpoints, in the terms of proxy.core."""

from dataclasses import replace

from mesh.kinds.balancing import ConsistentHash as HashSpec
from mesh.kinds.balancing import LoadBalancer, LocalityLbSetting
from mesh.kinds.pools import ConnectionPool, HttpPool, OutlierDetection, PerEndpoint, TcpKeepalive
from mesh.kinds.pools import HealthCheck as CheckSpec
from mesh.kinds.traffic_policy import TrafficPolicySpec
from mesh.yaml.texts import seconds, seconds_or_none
from proxy.core.policy.upstream import (
    ConsistentHash,
    Distribution,
    HashTable,
    HealthCheck,
    HealthProtocol,
    HttpBalancing,
    Keepalive,
    Limits,
    LocalitySettings,
    Outlier,
    SuccessRate,
    UpstreamSettings,
    Warmup,
)

_BALANCING = {"UNSPECIFIED": HttpBalancing.EWMA, "LEAST_CONN": HttpBalancing.LEAST_REQUEST}


def upstream_settings(spec: TrafficPolicySpec) -> UpstreamSettings:
    balancer = spec.load_balancer
    return UpstreamSettings(
        balancing=_balancing(balancer),
        hash=None if balancer.consistent_hash is None else _hash(balancer.consistent_hash),
        locality=None if balancer.locality_lb_setting is None else _locality(balancer.locality_lb_setting),
        warmup=_warmup(balancer),
        outlier=None if spec.outlier_detection is None else _outlier(spec.outlier_detection),
        status_weights=tuple(sorted((int(status), weight) for status, weight in spec.status_weights.items())),
        health_checks=tuple(_check(one) for one in spec.health_checks),
        limits=_limits(spec.connection_pool),
        keepalive=keepalive(spec.connection_pool.tcp.tcp_keepalive),
    )


def _balancing(spec: LoadBalancer) -> HttpBalancing:
    name = spec.simple or "UNSPECIFIED"
    return _BALANCING.get(name) or HttpBalancing(name)


def _hash(spec: HashSpec) -> ConsistentHash:
    cookie = spec.http_cookie
    table, size = HashTable.RING, 1024
    if spec.ring_hash is not None:
        size = spec.ring_hash.minimum_ring_size
    if spec.maglev is not None:
        table, size = HashTable.MAGLEV, spec.maglev.table_size
    return ConsistentHash(
        header=(spec.http_header_name or "").lower(),
        cookie="" if cookie is None else cookie.name,
        cookie_path="" if cookie is None else cookie.path,
        cookie_ttl_s=None if cookie is None or cookie.ttl is None else seconds_or_none(cookie.ttl),
        parameter=spec.http_query_parameter_name or "",
        source_ip=bool(spec.use_source_ip),
        table=table,
        size=size,
    )


def _locality(spec: LocalityLbSetting) -> LocalitySettings:
    return LocalitySettings(
        enabled=spec.enabled,
        distribute=tuple(Distribution(one.from_, tuple(sorted(one.to.items()))) for one in spec.distribute),
        failover=tuple((one.from_, one.to) for one in spec.failover),
    )


def _warmup(spec: LoadBalancer) -> Warmup | None:
    given = spec.warmup
    return None if given is None else Warmup(seconds(given.duration), given.minimum_percent, given.aggression)


def _outlier(spec: OutlierDetection) -> Outlier:
    rate = spec.success_rate
    consecutive_5xx, gateway = spec.consecutive5xx_errors, spec.consecutive_gateway_errors
    if spec.consecutive_errors is not None:
        # Istio's old name for gateway errors, which switched the newer kind off.
        consecutive_5xx, gateway = 0, spec.consecutive_errors
    return Outlier(
        consecutive_5xx=consecutive_5xx,
        consecutive_gateway=gateway,
        consecutive_local=spec.consecutive_local_origin_failures,
        split_local=spec.split_external_local_origin_errors,
        interval_s=seconds(spec.interval),
        base_ejection_s=seconds(spec.base_ejection_time),
        max_ejection_percent=spec.max_ejection_percent,
        min_health_percent=spec.min_health_percent,
        success_rate=None if rate is None else SuccessRate(rate.minimum_hosts, rate.request_volume, rate.stdev_factor),
    )


def _check(spec: CheckSpec) -> HealthCheck:
    times = HealthCheck(
        HealthProtocol.TCP,
        port=spec.port,
        interval_s=seconds(spec.interval),
        timeout_s=seconds(spec.timeout),
        unhealthy_threshold=spec.unhealthy_threshold,
        healthy_threshold=spec.healthy_threshold,
    )
    if spec.http is None:
        return times
    return replace(
        times,
        protocol=HealthProtocol.HTTP,
        path=spec.http.path,
        method=spec.http.method,
        host=spec.http.host,
        expected=tuple(_statuses(one) for one in spec.http.expected_statuses),
        headers=tuple((one.name, one.value) for one in spec.http.headers),
    )


def _statuses(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def _limits(pool: ConnectionPool) -> Limits:
    http, each = pool.http or HttpPool(), pool.per_endpoint or PerEndpoint()
    return Limits(
        connections=pool.tcp.max_connections,
        pending=http.http1_max_pending_requests or None,
        requests=http.http2_max_requests or None,
        requests_per_connection=http.max_requests_per_connection or None,
        retries=http.max_retries or None,
        idle_s=seconds(http.idle_timeout),
        endpoint_connections=each.max_connections,
        endpoint_requests=each.max_requests,
    )


def keepalive(spec: TcpKeepalive | None) -> Keepalive | None:
    if spec is None:
        return None
    time, interval = (None if one is None else seconds(one) for one in (spec.time, spec.interval))
    return Keepalive(time, interval, spec.probes)
