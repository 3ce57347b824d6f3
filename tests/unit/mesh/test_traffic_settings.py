"""TrafficPolicy -> settings of requests and of endpoints: the contract's names, values and defaults."""

from __future__ import annotations

import pytest

from mesh.yaml.problems import ConfigError
from proxy.core.policy.policy import Balancing, Cluster, Destination
from proxy.core.policy.settings import (
    Abort,
    Delay,
    Failure,
    Fault,
    Hedging,
    HttpSettings,
    RequestRate,
    RequestTimeouts,
    Retries,
    Shedding,
    TcpFault,
)
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
from proxy.core.route.match import Kind, Text
from tests.unit.mesh.support import endpoints, policy_of, service, traffic_policy

WEB = service("web", "10.0.0.1") + endpoints("web", "10.1.0.1")


def destination(spec: str, *, inbound: bool = False) -> Destination:
    policy, _ = policy_of(WEB + traffic_policy("web", spec))
    return policy.inbound["10.1.0.1", 8080] if inbound else policy.outbound["10.0.0.1", 80]


def upstream(spec: str) -> UpstreamSettings:
    return cluster(spec).settings


def cluster(spec: str) -> Cluster:
    found = destination(spec).targets[0].cluster
    assert found is not None
    return found


REQUESTS = """
  timeouts: {request: 5s, headers: 60s, idle: 5m},
  deadline: {header: X-Deadline-Ms},
  retries: {attempts: 3, perTryTimeout: 1s, retryOn: [connect-failure, reset, "503"],
    backoff: {base: 20ms, max: 200ms}, budget: {percent: 10, minPerSecond: 1}, bufferBytes: 100},
  hedging: {quantile: 0.95, budgetPercent: 4, minDelay: 2ms},
  rateLimit: {requestsPerSecond: 40, burst: 10, perHeader: X-Caller},
  shedding: {dropPercent: 11, perHeader: X-Caller},
  fault: {delay: {percentage: {value: 50}, fixedDelay: 300ms}, abort: {percentage: {value: 30}, httpStatus: 418},
    tcp: {resetAfterBytes: 1000, bytesPerSecond: 5, percentage: {value: 2}},
    headers: [{name: X-Test, value: "1"}, {name: X-R, type: RegularExpression, value: "a+"}]}
"""


def test_everything_that_is_said_of_requests() -> None:
    assert destination(REQUESTS).http == HttpSettings(
        timeouts=RequestTimeouts(5.0, 60.0, 300.0),
        deadline_header="x-deadline-ms",
        retries=Retries(
            3, 1.0, frozenset({Failure.CONNECT, Failure.RESET}), frozenset({503}), 0.02, 0.2, 10.0, 1.0, 100
        ),
        hedging=Hedging(0.95, 4.0, 0.002),
        rate_limit=RequestRate(40.0, 10, "x-caller"),
        shedding=Shedding(11.0, "x-caller"),
        fault=Fault(
            Delay(50.0, 0.3),
            Abort(30.0, 418),
            TcpFault(2.0, reset_after_bytes=1000, bytes_per_s=5),
            (Text("x-test", "1"), Text("x-r", "a+", Kind.REGEX)),
        ),
    )


def test_without_a_policy_and_without_a_field_nothing_is_asked() -> None:
    policy, _ = policy_of(WEB)
    assert policy.outbound["10.0.0.1", 80].http == destination("lane: auto").http == HttpSettings()
    assert upstream("lane: auto") == UpstreamSettings()


def test_a_field_that_is_left_out_has_the_contracts_value() -> None:
    found = destination("timeouts: {}, retries: {}, hedging: {}, rateLimit: {}, shedding: {}").http
    assert found.timeouts == RequestTimeouts(None, 60.0, 300.0)
    assert found.retries == Retries(
        attempts=2, per_try_s=None, statuses=frozenset({502, 503, 504}), backoff_base_s=0.025, backoff_max_s=0.25,
        failures=frozenset({Failure.CONNECT, Failure.RESET, Failure.PER_TRY_TIMEOUT}),
        budget_percent=20.0, budget_min_per_s=3.0, buffer_bytes=65536,
    )  # fmt: skip
    assert (found.hedging, found.rate_limit) == (Hedging(0.9, 5.0, 0.001), RequestRate(50.0, 20))
    assert found.shedding == Shedding(10.0)


@pytest.mark.parametrize(
    ("named", "failures", "statuses"),
    [
        ("5xx", set(Failure), set(range(500, 600))),
        ("gateway-error", set(Failure), {502, 503, 504}),
        ("retriable-4xx", set(), {409}),
        ("per-try-timeout", {Failure.PER_TRY_TIMEOUT}, set()),
        ("refused-stream", {Failure.REFUSED_STREAM}, set()),
        ("'429'", set(), {429}),
    ],
)
def test_conditions_of_retries(named: str, failures: set[Failure], statuses: set[int]) -> None:
    found = destination(f"retries: {{retryOn: [{named}]}}").http.retries
    assert found is not None
    assert (set(found.failures), set(found.statuses)) == (failures, statuses)


def test_side_inbound_moves_limits_and_faults_to_the_workload() -> None:
    here, there = destination(REQUESTS).http, destination(REQUESTS, inbound=True).http
    assert there == HttpSettings()
    moved_here = destination(f"side: inbound, {REQUESTS}").http
    moved_there = destination(f"side: inbound, {REQUESTS}", inbound=True).http
    assert moved_there == HttpSettings(rate_limit=here.rate_limit, shedding=here.shedding, fault=here.fault)
    assert (moved_here.rate_limit, moved_here.shedding, moved_here.fault) == (None, None, None)
    assert (moved_here.timeouts, moved_here.retries, moved_here.hedging) == (here.timeouts, here.retries, here.hedging)


@pytest.mark.parametrize(
    ("simple", "requests", "connections"),
    [
        ("EWMA", HttpBalancing.EWMA, Balancing.RANDOM),
        ("UNSPECIFIED", HttpBalancing.EWMA, Balancing.RANDOM),
        ("LEAST_CONN", HttpBalancing.LEAST_REQUEST, Balancing.LEAST_REQUEST),
        ("LEAST_REQUEST", HttpBalancing.LEAST_REQUEST, Balancing.LEAST_REQUEST),
        ("ROUND_ROBIN", HttpBalancing.ROUND_ROBIN, Balancing.ROUND_ROBIN),
        ("RANDOM", HttpBalancing.RANDOM, Balancing.RANDOM),
        ("PASSTHROUGH", HttpBalancing.PASSTHROUGH, Balancing.PASSTHROUGH),
    ],
)
def test_balancing_of_requests_and_of_connections(simple: str, requests: HttpBalancing, connections: Balancing) -> None:
    found = cluster(f"loadBalancer: {{simple: {simple}}}")
    assert (found.settings.balancing, found.balancing) == (requests, connections)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("httpHeaderName: X-User", ConsistentHash(header="x-user")),
        ("useSourceIp: true, ringHash: {minimumRingSize: 7}", ConsistentHash(source_ip=True, size=7)),
        ("httpQueryParameterName: q, maglev: {}", ConsistentHash(parameter="q", table=HashTable.MAGLEV, size=65537)),
        ("httpCookie: {name: c, path: /p, ttl: 0s}, maglev: {tableSize: 5}",
         ConsistentHash(cookie="c", cookie_path="/p", cookie_ttl_s=0.0, table=HashTable.MAGLEV, size=5)),
        ("httpCookie: {name: c}", ConsistentHash(cookie="c")),
    ],
)  # fmt: skip
def test_consistent_hashes(spec: str, expected: ConsistentHash) -> None:
    assert upstream(f"loadBalancer: {{consistentHash: {{{spec}}}}}").hash == expected


def test_localities_and_slow_start() -> None:
    found = upstream(
        "loadBalancer: {warmup: {duration: 30s, minimumPercent: 5, aggression: 2}, localityLbSetting:"
        " {distribute: [{from: eu/west/*, to: {'eu/west/*': 80, 'eu/east': 20}}]}}"
    )
    distribution = Distribution("eu/west/*", (("eu/east", 20), ("eu/west/*", 80)))
    assert (found.locality, found.warmup) == (LocalitySettings(distribute=(distribution,)), Warmup(30.0, 5.0, 2.0))
    found = upstream("loadBalancer: {localityLbSetting: {enabled: false, failover: [{from: eu, to: us}]}}")
    assert found.locality == LocalitySettings(enabled=False, failover=(("eu", "us"),))


def test_ejection_has_istios_defaults() -> None:
    assert upstream("outlierDetection: {}").outlier == Outlier()
    assert upstream("outlierDetection: {successRate: {}}").outlier == Outlier(success_rate=SuccessRate())
    assert upstream("outlierDetection: {consecutiveErrors: 3}").outlier == Outlier(
        consecutive_5xx=0, consecutive_gateway=3
    )
    assert upstream(
        "outlierDetection: {consecutive5xxErrors: 1, consecutiveGatewayErrors: 2, consecutiveLocalOriginFailures: 3,"
        " splitExternalLocalOriginErrors: true, interval: 1s, baseEjectionTime: 2s, maxEjectionPercent: 50,"
        " minHealthPercent: 40, successRate: {minimumHosts: 3, requestVolume: 10, stdevFactor: 1.5}}"
    ).outlier == Outlier(1, 2, 3, True, 1.0, 2.0, 50, 40, SuccessRate(3, 10, 1.5))


def test_weights_checks_and_limits() -> None:
    found = upstream(
        "statusWeights: {'503': 0.5, '429': 0.8}, healthChecks: [{http: {path: /h,"
        " expectedStatuses: ['200-299', '418'], host: a, headers: [{name: x, value: y}]},"
        " interval: 7s, port: 9}, {tcp: {}}], connectionPool: {tcp:"
        " {maxConnections: 9, tcpKeepalive: {time: 300s, interval: 100s, probes: 3}},"
        " http: {http1MaxPendingRequests: 1, http2MaxRequests: 2, maxRequestsPerConnection: 3, maxRetries: 4,"
        " idleTimeout: 5s},"
        " perEndpoint: {maxConnections: 1, maxRequests: 2}}"
    )
    assert found.status_weights == ((429, 0.8), (503, 0.5))
    assert found.health_checks == (
        HealthCheck(HealthProtocol.HTTP, "/h", host="a", expected=((200, 299), (418, 418)), headers=(("x", "y"),),
                    port=9, interval_s=7.0),
        HealthCheck(HealthProtocol.TCP, interval_s=5.0, timeout_s=1.0, unhealthy_threshold=3, healthy_threshold=2),
    )  # fmt: skip
    assert found.limits == Limits(9, 1, 2, 3, 4, 5.0, 1, 2)
    assert found.keepalive == Keepalive(300.0, 100.0, 3)
    none = upstream("connectionPool: {http: {http1MaxPendingRequests: 0, maxRequestsPerConnection: 0}}").limits
    assert none == Limits()


def test_a_fault_without_a_percentage_is_named() -> None:
    policy, warnings = policy_of(WEB + traffic_policy("web", "fault: {abort: {httpStatus: 500}}"))
    assert any("fault.abort: its percentage is 0" in line for line in warnings)
    fault = policy.outbound["10.0.0.1", 80].http.fault
    assert fault is not None
    assert fault.abort == Abort(0.0, 500)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("loadBalancer: {simple: FASTEST}", "loadBalancer.simple: 'FASTEST' is not valid: one of EWMA"),
        ("loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}", "simple and consistentHash: only one"),
        ("loadBalancer: {consistentHash: {}}", "exactly one of them must be given"),
        ("loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: a}}", "exactly one of them must be given"),
        ("loadBalancer: {consistentHash: {httpCookie: {name: 'a b'}}}", "is not valid: a cookie's name"),
        ("loadBalancer: {consistentHash: {httpCookie: {name: a, path: '/;x'}}}", "is not valid: a cookie's path"),
        ("loadBalancer: {consistentHash: {useSourceIp: false}}", "useSourceIp: false is not valid"),
        ("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 6}}}", "tableSize: 6 is not valid"),
        ("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}, ringHash: {}}}", "ringHash and maglev"),
        ("loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}}", "to: 50 % is not valid"),
        ("loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}", "another region than from"),
        ("loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]}}",
         "distribute: excludes failover"),
        ("subsets: [{name: a, labels: {x: y}}, {name: a, labels: {x: z}}]", "another subset has that name"),
        ("subsets: [{name: a, labels: {}}]", "labels: at least one must be given"),
        ("statusWeights: {'5xx': 0.5}", "statusWeights: '5xx' is not valid"),
        ("statusWeights: {'503': 1.5}", "'1.5' is not valid: a number, 0 to 1"),
        ("healthChecks: [{interval: 1s}]", "http and tcp: exactly one"),
        ("healthChecks: [{http: {path: healthz}}]", "'healthz' is not valid: a path"),
        ("healthChecks: [{http: {path: /, expectedStatuses: ['2xx']}}]", "'2xx' is not valid: a status"),
        ("connectionPool: {tcp: {maxConnections: 1}, perEndpoint: {maxConnections: 2}}", "at most tcp.maxConn"),
        ("connectionPool: {http: {http2MaxRequests: 1}, perEndpoint: {maxRequests: 2}}", "at most http.http2Max"),
        ("outlierDetection: {maxEjectionPercent: 101}", "'101' is not valid"),
        ("hedging: {budgetPercent: 101}", "'101' is not valid"),
        ("hedging: {minDelay: 5s}, timeouts: {request: 5s}", "less than timeouts.request"),
        ("fault: {}", "delay, abort and tcp: at least one"),
        ("fault: {tcp: {refuse: true, resetAfterBytes: 1}}", "only one of them may be given"),
        ("fault: {tcp: {}}", "at least one of them must be given"),
        ("fault: {abort: {httpStatus: 600}}", "'600' is not valid"),
        ("fault: {tcp: {refuse: true}, headers: [{name: a, value: b}]}", "headers: is not valid without"),
        ("fault: {delay: {percentage: {value: 101}, fixedDelay: 1s}}", "'101' is not valid"),
        ("side: inbound", "side: inbound is not valid without"),
        ("side: client", "'client' is not valid: one of inbound, outbound"),
        ("loadBalancer: {simple: PASSTHROUGH}, outlierDetection: {}", "PASSTHROUGH knows no endpoints"),
    ],
)  # fmt: skip
def test_impossible_and_contradictory_values_are_refused_with_their_place(spec: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        policy_of(WEB + traffic_policy("web", spec))
    errors = [str(one) for one in refused.value.problems]
    assert any(told in line and line.startswith("f.yaml:20: ") for line in errors), errors
