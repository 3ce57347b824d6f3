"""connectionPool: how many requests and connections there may be, and what becomes of those that are too many."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.origin import origins
from tests.netns.parsed.routes_rig import VIP, curl, http_service, status
from tests.netns.parsed.test_limits import logged
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import until
from tests.unit.mesh.support import traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
ONE, TWO = 8111, 8112


def pool(spec: str, *ports: int) -> str:
    return http_service("web", *(ports or (ONE,)), ip=VIP) + traffic_policy("web", f"connectionPool: {{{spec}}}")


def at_once(lab: Lab, count: int) -> Counter[str]:
    """Statuses of so many requests made at the same time, each on a connection of its own."""
    command = ["curl", "-sS", "-m", "30", "-o", "/dev/null", "-w", "%{http_code}\n", f"http://{VIP}/"]
    running = [lab.app.popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    return Counter(one.communicate()[0].strip() for one in running)


def test_requests_over_the_limit_are_answered_at_once(lab: Lab, file: Path) -> None:
    with origins(lab, ONE) as (origin,), proxy_with(lab, file, pool("http: {http2MaxRequests: 2}")) as proxy:
        origin.after_s = 3.0
        assert at_once(lab, 5) == {"200": 2, "503": 3}
        refused = [one for one in logged(proxy, 5) if one["status"] == 503]
        assert {one["flags"] for one in refused} == {"UO"}
        assert all(one["duration_ms"] < 2000 for one in refused)
        assert "not obeyed" not in proxy.stderr()
        origin.after_s = 0.0
        assert status(lab, "/") == 200


def test_requests_of_one_endpoint(lab: Lab, file: Path) -> None:
    text = pool("perEndpoint: {maxRequests: 1}", ONE, TWO)
    with origins(lab, ONE, TWO) as (one, two), proxy_with(lab, file, text):
        one.after_s = two.after_s = 3.0
        assert at_once(lab, 5) == {"200": 2, "503": 3}
        assert sum(one.seen.values()) == sum(two.seen.values()) == 1


def test_what_waits_for_a_connection_is_limited(lab: Lab, file: Path) -> None:
    text = pool("tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 2, http2MaxRequests: 100}")
    text = text.replace("spec: {targetRefs", "spec: {timeouts: {request: 60s}, targetRefs")
    with origins(lab, ONE) as (origin,), proxy_with(lab, file, text) as proxy:
        origin.after_s = 1.0
        assert at_once(lab, 6) == {"200": 3, "503": 3}
        assert {one["flags"] for one in logged(proxy, 6) if one["status"] == 503} == {"UO"}
        assert origin.connections == 1


def test_connections_of_one_endpoint(lab: Lab, file: Path) -> None:
    text = pool("perEndpoint: {maxConnections: 2}", ONE, TWO)
    with origins(lab, ONE, TWO) as (one, two), proxy_with(lab, file, text):
        one.after_s = two.after_s = 0.5
        assert at_once(lab, 10) == {"200": 10}
        assert one.connections <= 2
        assert two.connections <= 2


def test_a_connection_is_closed_after_so_many_requests(lab: Lab, file: Path) -> None:
    with origins(lab, ONE) as (origin,), proxy_with(lab, file, pool("http: {maxRequestsPerConnection: 3}")):
        assert set(curl(lab, "/[1-12]", "-o", "/dev/null", "-w", "%{http_code}\n").split()) == {"200"}
        assert origin.connections == 4


def test_an_idle_connection_is_closed_in_time(lab: Lab, file: Path) -> None:
    with origins(lab, ONE) as (origin,), proxy_with(lab, file, pool("http: {idleTimeout: 1s}")):
        assert status(lab, "/") == 200
        assert status(lab, "/") == 200
        assert origin.connections == 1
        time.sleep(3)
        until(lambda: status(lab, "/") == 200 and origin.connections == 2, "a new connection")


def test_retries_at_one_time_are_limited(lab: Lab, file: Path) -> None:
    spec = "connectionPool: {http: {maxRetries: 1}}, retries: {attempts: 1, retryOn: ['503'], "
    spec += "backoff: {base: 1ms, max: 1ms}, budget: {percent: 100, minPerSecond: 100}}"
    text = http_service("web", ONE, ip=VIP) + traffic_policy("web", spec)
    with origins(lab, ONE) as (origin,), proxy_with(lab, file, text):
        origin.status, origin.after_s = 503, 2.0
        assert at_once(lab, 4) == {"503": 4}
        assert sum(origin.seen.values()) == 5
