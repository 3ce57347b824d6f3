"""The examples of docs/resilience.md are configuration, and mean what the page says of them."""

from __future__ import annotations

import re
from pathlib import Path

from proxy.core.policy.policy import Policy
from proxy.core.policy.settings import Abort, Delay, Fault, Hedging, HttpSettings, RequestRate, Shedding
from proxy.core.policy.upstream import UpstreamSettings
from proxy.core.route.match import Text
from tests.unit.mesh.support import endpoints, policy_of, service

PAGE = (Path(__file__).parents[3] / "docs" / "resilience.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SHOP = service("shop", "10.0.0.1", port="port: 80, name: http") + endpoints("shop", "10.1.0.1", port_name="http")


def compiled(field: str) -> Policy:
    (text,) = [one for one in EXAMPLES if f"\n  {field}" in one]
    policy, warnings = policy_of(SHOP + f"\n---\n{text}")
    assert warnings == []
    return policy


def settings(field: str) -> UpstreamSettings:
    (cluster,) = compiled(field).clusters
    return cluster.settings


def requests(field: str) -> HttpSettings:
    (destination,) = compiled(field).outbound.values()
    return destination.http


def test_every_example_is_looked_at() -> None:
    assert len(EXAMPLES) == 9


def test_ejection() -> None:
    found = settings("outlierDetection:").outlier
    assert found is not None
    assert (found.consecutive_5xx, found.base_ejection_s) == (3, 30)
    assert (found.max_ejection_percent, found.min_health_percent) == (50, 50)


def test_checks() -> None:
    (check,) = settings("healthChecks:").health_checks
    assert (check.path, check.interval_s, check.timeout_s) == ("/healthz", 5, 1)
    assert (check.unhealthy_threshold, check.healthy_threshold) == (3, 2)


def test_warmup() -> None:
    warmup = settings("loadBalancer:").warmup
    assert warmup is not None
    assert (warmup.duration_s, warmup.minimum_percent) == (30, 10)


def test_rates() -> None:
    assert requests("rateLimit:").rate_limit == RequestRate(50, 20, "x-caller")


def test_shedding() -> None:
    assert requests("shedding:").shedding == Shedding(20, "x-caller")


def test_faults() -> None:
    assert requests("fault:").fault == Fault(Delay(50, 0.3), Abort(30, 418), None, (Text("x-test", "chaos"),))


def test_deadlines() -> None:
    found = requests("deadline:")
    assert (found.deadline_header, found.timeouts.request_s) == ("x-deadline-ms", 5)


def test_pools() -> None:
    found = settings("connectionPool:").limits
    assert (found.connections, found.pending, found.requests, found.requests_per_connection) == (100, 50, 200, 1000)
    assert (found.retries, found.idle_s, found.endpoint_connections, found.endpoint_requests) == (10, 300, 20, 40)


def test_hedging() -> None:
    assert requests("hedging:").hedging == Hedging(0.9, 5, 0.001)
