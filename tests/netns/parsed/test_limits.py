"""What a TrafficPolicy does with requests before they go anywhere: rates, shedding, delays and answers on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.command_line import ROOT
from tests.netns.parsed.routes_rig import V1, V2, VIP, curl, http_service, status, to
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import APP_V4, ProxyProcess, until
from tests.unit.mesh.support import endpoints, http_route, service, traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
WEB = http_service("web", V1, ip=VIP)


def codes(lab: Lab, count: int, *flags: str) -> Counter[str]:
    """Statuses of so many requests, one after the other on one connection."""
    said = curl(lab, f"/[1-{count}]", "-o", "/dev/null", "-w", "%{http_code}\n", *flags)
    return Counter(said.split())


def logged(proxy: ProxyProcess, count: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = until(
        lambda: len(some := [line for line in proxy.access_log() if "method" in line]) >= count and some, "requests"
    )
    return found


def policy_set(lab: Lab, patch: dict[str, Any], *more: str) -> None:
    command = [sys.executable, "-P", "-m", "tidegate", "policy", "set", "shop/web", "--file", "-", *more]
    done = lab.app.run(command, check=False, stdin=json.dumps(patch), env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr


def test_a_rate_is_kept_and_the_client_is_told_when_to_come_again(lab: Lab, file: Path) -> None:
    policy = traffic_policy("web", "rateLimit: {requestsPerSecond: 0.01, burst: 3}")
    with proxy_with(lab, file, WEB + policy) as proxy:
        assert codes(lab, 5) == {"200": 3, "429": 2}
        refused = curl(lab, "/", "-i")
        assert refused.startswith("HTTP/1.1 429 Too Many Requests\n"), refused
        (after,) = [line for line in refused.splitlines() if line.startswith("retry-after: ")]
        assert 60 < int(after.partition(": ")[2]) <= 100
        assert Counter(one["flags"] for one in logged(proxy, 6)) == {"-": 3, "RL": 3}
        assert "not obeyed" not in proxy.stderr()


def test_a_refused_client_keeps_its_connection(lab: Lab, file: Path) -> None:
    policy = traffic_policy("web", "rateLimit: {requestsPerSecond: 0.01, burst: 1}")
    with proxy_with(lab, file, WEB + policy):
        assert sum(int(one) for one in curl(lab, "/[1-9]", "-o", "/dev/null", "-w", "%{num_connects}\n").split()) == 1


def test_callers_have_rates_of_their_own_and_so_have_routes(lab: Lab, file: Path) -> None:
    rules = [f"{{matches: [{{path: {{value: /{name}}}}}], {to('web')}}}" for name in ("a", "b")]
    routes = "".join(http_route(rule, name=name) for rule, name in zip(rules, "ab", strict=True))
    policy = traffic_policy("web", "rateLimit: {requestsPerSecond: 0.01, burst: 2, perHeader: X-Caller}")
    with proxy_with(lab, file, WEB + routes + policy):
        for caller in ("one", "two"):
            for path in ("/a", "/b"):
                found = [status(lab, path, "-H", f"x-caller: {caller}") for _ in range(3)]
                assert found == [200, 200, 429], (caller, path)


def test_a_rate_goes_on_when_something_else_changes(lab: Lab, file: Path) -> None:
    policy = traffic_policy("web", "rateLimit: {requestsPerSecond: 0.01, burst: 2}")
    with proxy_with(lab, file, WEB + policy):
        assert codes(lab, 2) == {"200": 2}
        policy_set(lab, {"timeouts": {"request": "5s"}})
        assert status(lab, "/") == 429
        policy_set(lab, {"rateLimit": {"requestsPerSecond": 0.01, "burst": 3}})
        assert status(lab, "/") == 200


def test_requests_are_shed_live(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, WEB) as proxy:
        assert codes(lab, 5) == {"200": 5}
        policy_set(lab, {"shedding": {"dropPercent": 100}})
        assert codes(lab, 5) == {"503": 5}
        assert {one["flags"] for one in logged(proxy, 10)[5:]} == {"DO"}
        policy_set(lab, {"shedding": {"dropPercent": 50}})
        found = codes(lab, 400)
        assert 130 < found["503"] < 270, found
        policy_set(lab, {"shedding": None})
        assert codes(lab, 5) == {"200": 5}


def test_shedding_by_caller_takes_all_of_a_caller_or_nothing(lab: Lab, file: Path) -> None:
    policy = traffic_policy("web", "shedding: {dropPercent: 50, perHeader: x-caller}")
    with proxy_with(lab, file, WEB + policy):
        kinds = set()
        for caller in range(12):
            (kind,) = codes(lab, 6, "-H", f"x-caller: c{caller}")
            kinds.add(kind)
        assert kinds == {"200", "503"}


def test_requests_are_delayed_and_answered_on_purpose(lab: Lab, file: Path) -> None:
    fault = "fault: {delay: {percentage: {value: 100}, fixedDelay: 300ms}, headers: [{name: x-test, value: slow}]}"
    with proxy_with(lab, file, WEB + traffic_policy("web", fault)) as proxy:
        began = time.monotonic()
        assert curl(lab, "/d", "-H", "x-test: slow").startswith("v1 ")
        assert time.monotonic() - began >= 0.3
        assert status(lab, "/e", "-H", "x-test: other") == 200
        one, other = logged(proxy, 2)
        assert (one["flags"], other["flags"]) == ("DI", "-")
        assert one["duration_ms"] >= 300
        policy_set(lab, {"fault": {"abort": {"percentage": {"value": 100}, "httpStatus": 418}}})
        assert status(lab, "/") == 418
        policy_set(lab, {"fault": {"abort": {"percentage": {"value": 100}, "httpStatus": 204}}})
        assert "content-length" not in curl(lab, "/", "-i")
        assert {one["flags"] for one in logged(proxy, 4)[2:]} == {"FI"}


def test_a_body_waits_with_its_request(lab: Lab, file: Path) -> None:
    fault = "fault: {delay: {percentage: {value: 100}, fixedDelay: 200ms}}"
    body = file.with_name("body")
    body.write_text("x" * 300_000)
    with proxy_with(lab, file, WEB + traffic_policy("web", fault)):
        for _ in range(2):
            assert status(lab, "/", "--data-binary", f"@{body}", "-H", "expect:") == 200


def test_a_delay_counts_against_the_time_limit(lab: Lab, file: Path) -> None:
    spec = "timeouts: {request: 100ms}, fault: {delay: {percentage: {value: 100}, fixedDelay: 20s}}"
    with proxy_with(lab, file, WEB + traffic_policy("web", spec)) as proxy:
        assert status(lab, "/") == 504
        (one,) = logged(proxy)
        assert one["flags"] == "UT,DI"


def test_what_acts_where_a_call_arrives(lab: Lab, file: Path, tmp_path: Path) -> None:
    text = service("web", VIP, port="port: 80, name: http")
    text += endpoints("web", APP_V4, port=V2, port_name="http")
    text += traffic_policy("web", "side: inbound, rateLimit: {requestsPerSecond: 0.01, burst: 2}")
    process = lab.app.popen(
        [sys.executable, "-m", "http.server", str(V2), "--bind", APP_V4], stdin=subprocess.DEVNULL, cwd=tmp_path
    )
    try:
        with proxy_with(lab, file, text) as proxy:
            command = ["curl", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}\n", f"http://{APP_V4}:{V2}/"]
            until(lambda: lab.app.run([*command[:-1], f"http://{APP_V4}:{V2}/"], check=False).returncode == 0, "it")
            found = [lab.peer.run(command).stdout.strip() for _ in range(4)]
            assert found == ["200", "200", "429", "429"]
            assert [one["flags"] for one in logged(proxy, 4)][-2:] == ["RL", "RL"]
    finally:
        process.kill()
        process.wait()
