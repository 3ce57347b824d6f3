"""An endpoint that fails gets no connections, whichever part of the proxy found out, and comes back when it is well."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.netns.proxy.config_rig import DEAD, ONE, ask, backends, file, proxy_with, says, web
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, until
from tests.unit.mesh.support import traffic_policy

__all__ = ["backends", "file"]
pytestmark = pytest.mark.kernel

EJECTING = "outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 2s, maxEjectionPercent: 100}"


def endpoint(proxy: ProxyProcess, port: int) -> dict[str, Any]:
    clusters = json.loads(proxy.request("/clusters")[1])
    found = [one for cluster in clusters for one in cluster["endpoints"] if one["address"] == f"{PEER_V4}:{port}"]
    assert len(found) == 1
    return dict(found[0])


def asked_until(lab: Lab, condition: Callable[[], bool], what: str) -> None:
    """Under traffic, all of which is answered."""

    def asked() -> bool:
        assert ask(lab)
        return condition()

    until(asked, what, timeout=20)


@pytest.mark.takes(12)
@pytest.mark.parametrize("balancer", ["RANDOM", "LEAST_REQUEST"], ids=["by the engine", "one by one"])
@pytest.mark.usefixtures("backends")
def test_a_dead_endpoint_is_ejected_and_comes_back(lab: Lab, file: Path, balancer: str) -> None:
    text = web(ONE, DEAD) + traffic_policy("web", f"{EJECTING}, loadBalancer: {{simple: {balancer}}}")
    with proxy_with(lab, file, text) as proxy:
        assert endpoint(proxy, DEAD)["health"] == "healthy"
        asked_until(lab, lambda: endpoint(proxy, DEAD)["health"] == "ejected", "the dead endpoint to be ejected")
        now = endpoint(proxy, DEAD)
        assert now["weight"] == 0
        assert "in a row could not be made" in now["why"]
        assert endpoint(proxy, ONE)["health"] == "healthy"
        time.sleep(0.2)  # what was published a moment ago is in force in the engine
        before = endpoint(proxy, DEAD)["connect_failures"]
        for _ in range(30):
            assert ask(lab) == b"1"
        assert endpoint(proxy, DEAD)["connect_failures"] == before
        assert f"{PEER_V4}:{DEAD} gets no connections" in proxy.stderr()
        asked_until(lab, lambda: endpoint(proxy, DEAD)["why"].startswith("ejected 2 times"), "the trial to fail")
        with Server(lab.peer, PEER_V4, DEAD, says(b"3")):
            asked_until(lab, lambda: endpoint(proxy, DEAD)["health"] == "healthy", "the endpoint to be whole again")
            asked_until(lab, lambda: ask(lab) == b"3", "the endpoint to be used again")
        assert f"{PEER_V4}:{DEAD} gets connections again" in proxy.stderr()


@pytest.mark.usefixtures("backends")
def test_without_the_policy_nothing_is_ejected(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE, DEAD)) as proxy:
        until(lambda: ask(lab) and endpoint(proxy, DEAD)["connect_failures"] >= 10, "failures")
        time.sleep(0.6)
        assert endpoint(proxy, DEAD)["health"] == "healthy"


def answering(status: list[int]) -> Callable[[socket.socket], None]:
    def handle(sock: socket.socket) -> None:
        head = sock.recv(4096)
        if head.startswith(b"GET /healthz HTTP/1.1\r\n"):
            assert b"host: web.shop.svc.cluster.local\r\n" in head
            sock.sendall(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status[0])
        else:
            sock.sendall(b"x")

    return handle


@pytest.mark.takes(6)
@pytest.mark.usefixtures("backends")
def test_active_checks_eject_and_their_own_connections_are_not_captured(lab: Lab, file: Path) -> None:
    checked = 8005
    check = "{http: {path: /healthz}, interval: 200ms, timeout: 1s, unhealthyThreshold: 2, healthyThreshold: 2}"
    status = [200]
    text = web(checked) + traffic_policy("web", f"healthChecks: [{check}]")
    with Server(lab.peer, PEER_V4, checked, answering(status)) as server, proxy_with(lab, file, text) as proxy:
        until(lambda: len(server.peers) >= 3, "checks")
        assert endpoint(proxy, checked)["health"] == "healthy"
        status[0] = 500
        until(lambda: endpoint(proxy, checked)["health"] == "ejected", "the check to fail")
        assert endpoint(proxy, checked)["why"] == "health check failed: GET /healthz answered 500"
        status[0] = 204
        until(lambda: endpoint(proxy, checked)["health"] == "healthy", "the check to pass")
        assert proxy.access_log() == []
        assert sum(one["accepted"] for one in json.loads(proxy.request("/listeners")[1])) == 0


@pytest.mark.usefixtures("backends")
def test_a_check_of_tcp(lab: Lab, file: Path) -> None:
    check = "{tcp: {}, interval: 200ms, timeout: 1s, unhealthyThreshold: 1, healthyThreshold: 1}"
    text = web(ONE, DEAD) + traffic_policy("web", f"healthChecks: [{check}]")
    with proxy_with(lab, file, text) as proxy:
        until(lambda: endpoint(proxy, DEAD)["health"] == "ejected", "the check to fail")
        assert endpoint(proxy, DEAD)["why"] == "health check failed: Connection refused"
        assert endpoint(proxy, ONE)["health"] == "healthy"
        with Server(lab.peer, PEER_V4, DEAD, says(b"3")):
            until(lambda: endpoint(proxy, DEAD)["health"] == "healthy", "the check to pass")
