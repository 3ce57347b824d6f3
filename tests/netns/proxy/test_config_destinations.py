"""Connections go where the documents say, and are named as the documents name them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.proxy.config_rig import (
    DEAD,
    ONE,
    TCP,
    TWO,
    VIP,
    VIP6,
    ask,
    backends,
    dump,
    file,
    in_force,
    proxy_with,
    says,
    split,
    web,
    write,
)
from tests.netns.proxy.proxy_rig import PEER_V4, PEER_V6, Server, dial, until
from tests.unit.mesh.support import endpoints, service, traffic_policy

__all__ = ["backends", "file"]
pytestmark = pytest.mark.kernel


@pytest.mark.usefixtures("backends")
def test_a_service_is_reached_at_its_endpoints_and_named(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE)) as proxy:
        assert ask(lab) == b"1"
        line = proxy.wait_logged()[0]
        assert (line["original_destination"], line["upstream"]) == (f"{VIP}:80", f"{PEER_V4}:{ONE}")
        assert (line["protocol"], line["lane"]) == ("tcp", "splice")
        assert "L4 policy only" in line["lane_reason"]
        assert "eBPF" in line["lane_reason"]
        labels = {
            "destination_service": "web.shop.svc.cluster.local",
            "destination_service_name": "web",
            "destination_service_namespace": "shop",
        }
        assert proxy.metric("istio_tcp_connections_opened_total", **labels) == 1
        assert proxy.metric("istio_tcp_connections_closed_total", **labels) == 1
        cluster = next(one for one in json.loads(proxy.request("/clusters")[1]) if one["type"] == "service")
        assert cluster["endpoints"] == [
            {"address": f"{PEER_V4}:{ONE}", "weight": 1, "health": "healthy", "why": "", "connections_active": 0,
             "connections_total": 1, "connect_failures": 0, "requests": {}}
        ]  # fmt: skip
        assert dump(proxy)["destinations"]["outbound"][0]["address"] == f"{VIP}:80"


@pytest.mark.usefixtures("backends")
def test_what_no_service_claims_is_passed_through(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(TWO)) as proxy:
        assert ask(lab, PEER_V4, ONE) == b"1"
        line = proxy.wait_logged()[0]
        assert line["upstream"] == f"{PEER_V4}:{ONE}"
        assert "no Service claims" in line["lane_reason"]


@pytest.mark.usefixtures("backends")
def test_both_families(lab: Lab, file: Path) -> None:
    text = web(ONE, spec=f"clusterIPs: [{VIP}, '{VIP6}'], ")
    with proxy_with(lab, file, text) as proxy:
        assert ask(lab, VIP6) == b"1"  # only IPv4 endpoints: better the other family than nobody
        digest = dump(proxy)["digest"]
        write(file, text + endpoints("web", PEER_V6, port=TWO, port_name="tcp-main"))
        in_force(proxy, digest)
        assert (ask(lab, VIP6), ask(lab, VIP)) == (b"2", b"1")


@pytest.mark.usefixtures("backends")
def test_weights_are_respected(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, split(80, 20)):
        count = Counter(ask(lab) for _ in range(400))
    # 80 % of 400 with a standard deviation of 8: five of them are one failure in a million runs.
    assert 280 <= count[b"1"] <= 360
    assert count[b"1"] + count[b"2"] == 400


@pytest.mark.usefixtures("backends")
def test_who_refuses_is_passed_over(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE, DEAD)) as proxy:
        assert [ask(lab) for _ in range(40)] == [b"1"] * 40
        failures = proxy.metric("tidegate_upstream_retries_total", direction="outbound")
        assert 5 <= failures <= 35
        cluster = next(one for one in json.loads(proxy.request("/clusters")[1]) if one["type"] == "service")
        assert {one["address"]: one["connect_failures"] for one in cluster["endpoints"]} == {
            f"{PEER_V4}:{ONE}": 0, f"{PEER_V4}:{DEAD}": failures
        }  # fmt: skip
        assert cluster["connections_active"] == 0


@pytest.mark.usefixtures("backends")
def test_a_refusing_backend_of_a_split_falls_to_the_other(lab: Lab, file: Path) -> None:
    text = split(50, 50).replace(f"port: {TWO}", f"port: {DEAD}")
    with proxy_with(lab, file, text) as proxy:
        assert [ask(lab) for _ in range(20)] == [b"1"] * 20
        proxy.wait_logged(20)
        samples = proxy.metrics()
        for name in ("one", "two"):
            opened, closed = (
                sum(v for k, v in samples.items() if k.startswith(f"istio_tcp_connections_{what}_total{{")
                    and f'destination_service_name="{name}"' in k)
                for what in ("opened", "closed")
            )  # fmt: skip
            assert opened == closed, name
        failed = sum(
            v for k, v in samples.items() if k.startswith("tidegate_upstream_connect_failures_total{") and "||two." in k
        )
        assert failed > 0


@pytest.mark.usefixtures("backends")
def test_session_affinity(lab: Lab, file: Path) -> None:
    with proxy_with(lab, file, web(ONE, TWO, spec="sessionAffinity: ClientIP, ")):
        assert len({ask(lab) for _ in range(12)}) == 1


@pytest.mark.usefixtures("backends")
def test_inbound_connections_are_the_services_too(lab: Lab, file: Path) -> None:
    text = service("app", "10.0.0.82", port=TCP) + endpoints("app", "10.0.0.2", port=8080, port_name="tcp-main")
    text += traffic_policy("app", "deniedSources: [10.0.0.1/32]", name="deny")
    with Server(lab.app, "10.0.0.2", 8080, says(b"a")), proxy_with(lab, file, text.split("\n---\n")[1]) as proxy:
        with dial(lab.peer, "10.0.0.2", 8080) as client:
            assert client.recv(1) == b"a"
        digest = dump(proxy)["digest"]
        write(file, text.rpartition("\n---\n")[0])
        digest = in_force(proxy, digest)
        with dial(lab.peer, "10.0.0.2", 8080) as client:
            assert client.recv(1) == b"a"
        assert (
            proxy.metric("istio_tcp_connections_opened_total", reporter="destination", destination_service_name="app")
            == 1
        )
        write(file, text)
        in_force(proxy, digest)
        with pytest.raises(ConnectionResetError), dial(lab.peer, "10.0.0.2", 8080) as client:
            client.recv(1)
        until(lambda: proxy.access_log()[-1]["close_reason"] == "denied-source", "the refusal in the log")
