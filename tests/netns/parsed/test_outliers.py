"""Endpoints by what they answer: ejection, the way back by one request, weights by status, the panic threshold."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.netns.parsed.origin import origins
from tests.netns.parsed.routes_rig import DEAD, VIP, curl, http_service
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import ProxyProcess, until
from tests.unit.mesh.support import traffic_policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("versions")]
ONE, TWO, THREE = 8111, 8112, 8113
IN_TURN = "loadBalancer: {simple: ROUND_ROBIN}"


def codes(lab: Lab, count: int) -> Counter[str]:
    return Counter(curl(lab, f"/[1-{count}]", "-o", "/dev/null", "-w", "%{http_code}\n").split())


def endpoint(proxy: ProxyProcess, port: int) -> dict[str, Any]:
    clusters = json.loads(proxy.request("/clusters")[1])
    found: list[dict[str, Any]] = [
        one
        for cluster in (clusters["clusters"] if isinstance(clusters, dict) else clusters)
        for one in cluster.get("endpoints", ())
        if one["address"].endswith(f":{port}")
    ]
    return found[0]


def test_an_endpoint_that_answers_5xx_is_ejected_and_comes_back_by_a_trial(lab: Lab, file: Path) -> None:
    spec = "outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 2s, interval: 1s, maxEjectionPercent: 50}"
    text = http_service("web", ONE, TWO, ip=VIP) + traffic_policy("web", f"{spec}, {IN_TURN}")
    with origins(lab, ONE, TWO) as (one, _), proxy_with(lab, file, text) as proxy:
        one.status = 503
        assert codes(lab, 40)["503"] < 12
        until(lambda: endpoint(proxy, ONE)["health"] in ("ejected", "on trial"), "an ejection")
        assert "5xx in a row" in endpoint(proxy, ONE)["why"] or "gateway" in endpoint(proxy, ONE)["why"]
        one.status = 200
        until(lambda: codes(lab, 5) and endpoint(proxy, ONE)["health"] == "healthy", "its return", timeout=30)


def test_failed_connections_eject_by_their_count(lab: Lab, file: Path) -> None:
    spec = "outlierDetection: {consecutive5xxErrors: 4, baseEjectionTime: 60s, maxEjectionPercent: 50}"
    text = http_service("web", ONE, DEAD, ip=VIP) + traffic_policy("web", f"{spec}, {IN_TURN}")
    with origins(lab, ONE), proxy_with(lab, file, text) as proxy:
        while (
            proxy.metric("tidegate_endpoint_connect_failures_total")
            + proxy.metric("tidegate_endpoint_connect_failures")
            < 3
        ):
            assert codes(lab, 1) == {"200": 1}
        # Looks at what lanes count come four times a second: three failures are no four.
        with pytest.raises(AssertionError):
            until(lambda: endpoint(proxy, DEAD)["health"] == "ejected", "no ejection", timeout=1.5)
        until(lambda: codes(lab, 4) == {"200": 4} and endpoint(proxy, DEAD)["health"] == "ejected", "an ejection")


def test_weight_goes_and_comes_back_by_status(lab: Lab, file: Path) -> None:
    text = http_service("web", ONE, TWO, ip=VIP) + traffic_policy("web", f'statusWeights: {{"429": 0.2}}, {IN_TURN}')
    with origins(lab, ONE, TWO) as (one, _), proxy_with(lab, file, text) as proxy:
        one.status = 429
        until(lambda: codes(lab, 20) and endpoint(proxy, ONE)["weight"] < 0.3, "less weight", timeout=30)
        assert endpoint(proxy, ONE)["health"] == "impaired"
        found = codes(lab, 200)
        assert found["429"] < 80, found
        one.status = 200
        until(lambda: codes(lab, 10) and endpoint(proxy, ONE)["health"] == "healthy", "its weight", timeout=60)
        assert "not obeyed" not in proxy.stderr()


def test_under_the_panic_threshold_all_are_used(lab: Lab, file: Path) -> None:
    spec = (
        "outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 60s, maxEjectionPercent: 100,"
        " minHealthPercent: 60}"
    )
    text = http_service("web", ONE, TWO, THREE, ip=VIP) + traffic_policy("web", f"{spec}, {IN_TURN}")
    with origins(lab, ONE, TWO, THREE) as (one, two, _), proxy_with(lab, file, text) as proxy:
        one.status = 503
        until(lambda: codes(lab, 6) and endpoint(proxy, ONE)["health"] == "ejected", "one ejection")
        two.status = 503
        until(lambda: codes(lab, 12)["503"] >= 4 and endpoint(proxy, ONE)["health"] != "ejected", "all in use")
