"""Deadlines that clients send: they hold, they are passed on with what is left of them, and retries keep them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.parsed.origin import origins
from tests.netns.parsed.routes_rig import VIP, curl, http_service, status
from tests.netns.parsed.test_limits import logged
from tests.netns.proxy.config_rig import proxy_with
from tests.unit.mesh.support import http_route, traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
ONE, TWO = 8111, 8112
WEB = http_service("web", ONE, ip=VIP)
ENVOY, EXPECTED, OWN = "x-envoy-upstream-rq-timeout-ms", "x-envoy-expected-rq-timeout-ms", "x-deadline-ms"
POLICY = traffic_policy("web", "deadline: {header: X-Deadline-Ms}")


@pytest.mark.parametrize("header", ["grpc-timeout: 150m", f"{ENVOY}: 150", f"{EXPECTED}: 150", f"{OWN}: 150"])
def test_a_deadline_is_kept(lab: Lab, file: Path, header: str) -> None:
    with origins(lab, ONE) as (origin,), proxy_with(lab, file, WEB + POLICY) as proxy:
        assert status(lab, "/", "-H", header) == 200
        origin.after_s = 5.0
        began = time.monotonic()
        assert status(lab, "/", "-H", header) == 504
        assert time.monotonic() - began < 3
        assert [one["flags"] for one in logged(proxy, 2)] == ["-", "DT"]


def test_zero_is_over_but_for_envoys_timeout_where_it_means_none(lab: Lab, file: Path) -> None:
    with origins(lab, ONE) as (origin,), proxy_with(lab, file, WEB + POLICY) as proxy:
        for header in ("grpc-timeout: 0S", f"{EXPECTED}: 0", f"{OWN}: 0"):
            assert status(lab, "/over", "-H", header) == 504
        assert origin.seen == {}
        assert {one["flags"] for one in logged(proxy, 3)} == {"DT"}
        assert status(lab, "/none", "-H", f"{ENVOY}: 0") == 200


@pytest.mark.parametrize("value", ["soon", "1.5", "-1", ""])
def test_what_is_no_time_sets_no_deadline_and_passes_as_it_is(lab: Lab, file: Path, value: str) -> None:
    with origins(lab, ONE), proxy_with(lab, file, WEB + POLICY):
        headers = json.loads(curl(lab, "/", "-H", f"{ENVOY}: {value}" if value else f"{ENVOY};"))["headers"]
        assert headers[ENVOY] == value


def test_the_time_that_has_passed_is_taken_off(lab: Lab, file: Path) -> None:
    delay = traffic_policy(
        "web",
        "deadline: {header: x-deadline-ms}, fault: {delay: {percentage: {value: 100}, fixedDelay: 400ms}}",
    )
    told = ("-H", f"{OWN}: 30000", "-H", f"{ENVOY}: 60000", "-H", "grpc-timeout: 45S")
    with origins(lab, ONE), proxy_with(lab, file, WEB + delay):
        headers = json.loads(curl(lab, "/", *told))["headers"]
        for name in (OWN, ENVOY):
            assert 20_000 < int(headers[name].strip()) <= 29_600, headers
        assert headers["grpc-timeout"].strip()[-1] == "u"
        assert 20_000_000 < int(headers["grpc-timeout"].strip()[:-1]) <= 29_600_000


def test_the_shortest_holds_and_a_header_lengthens_nothing(lab: Lab, file: Path) -> None:
    policy = traffic_policy("web", "timeouts: {request: 200ms}, deadline: {header: x-deadline-ms}")
    with origins(lab, ONE) as (origin,), proxy_with(lab, file, WEB + policy) as proxy:
        headers = json.loads(curl(lab, "/", "-H", f"{OWN}: 30000"))["headers"]
        assert int(headers[OWN].strip()) <= 200
        origin.after_s = 5.0
        assert status(lab, "/", "-H", f"{OWN}: 30000") == 504
        assert logged(proxy, 2)[1]["flags"] == "UT"


def test_a_deadline_goes_through_edits_of_the_head_and_is_sent_anew_with_each_attempt(lab: Lab, file: Path) -> None:
    rule = (
        "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x-added, value: v}]}}],"
        " backendRefs: [{name: web, port: 80}]}"
    )
    retries = "retries: {attempts: 1, perTryTimeout: 1s, backoff: {base: 1ms, max: 1ms}}"
    text = http_service("web", ONE, TWO, ip=VIP) + http_route(rule) + traffic_policy("web", retries)
    with origins(lab, ONE, TWO) as (one, two), proxy_with(lab, file, text):
        one.after_s = two.after_s = 0.0
        assert json.loads(curl(lab, "/", "-H", f"{ENVOY}: 9000"))["headers"]["x-added"] == "v"
        one.after_s = 5.0
        found = [json.loads(curl(lab, "/", "-H", f"{ENVOY}: 9000")) for _ in range(12)]
        assert {each["name"] for each in found} == {str(TWO)}
        left = sorted(int(each["headers"][ENVOY].strip()) for each in found)
        assert left[0] <= 8000
        assert one.seen["/"] > 0


def test_no_retry_that_cannot_finish(lab: Lab, file: Path) -> None:
    retries = "retries: {attempts: 3, retryOn: ['503'], backoff: {base: 60s, max: 60s}, budget: {minPerSecond: 100}}"
    with origins(lab, ONE) as (origin,), proxy_with(lab, file, WEB + traffic_policy("web", retries)):
        origin.status = 503
        began = time.monotonic()
        # Back-off is drawn from 0 to 60 s: of 8 requests nearly every one would be sent again after its deadline.
        for number in range(8):
            assert status(lab, f"/{number}", "-H", f"{ENVOY}: 500") in (503, 504)
        assert time.monotonic() - began < 8
        assert sum(origin.seen.values()) <= 12
