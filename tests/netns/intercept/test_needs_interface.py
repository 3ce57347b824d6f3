"""What capture can't carry goes direct and is named: IPv6 link-local destinations, sockets bound to an interface."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.third_party_proxy import ProxyOptions

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


def test_a_link_local_destination_is_reached_and_named(lab: Lab, backend: str) -> None:
    applied = lab.tidegate("init", "--mode", backend, "--dns", "all", "--json").ok().json
    with lab.proxy(ProxyOptions(transparent=backend == "tproxy")):
        workload = lab.actor()
        assert workload.tcp("fe80::1%eth0", 80).who == "peer"
        assert workload.udp("fe80::1%eth0", 53).who == "peer"
        assert workload.tcp("fd00::1", 80).who == "proxy", "other IPv6 destinations are captured"
    for port, protocol in ((80, "tcp"), (53, "udp")):
        asked = ("explain", "outbound", "--dst", f"[fe80::1]:{port}", "--protocol", protocol, "--uid", "1000", "--json")
        decision = lab.tidegate(*asked).ok().json
        assert (decision["decision"], decision["rule"]) == ("direct", "link-local"), decision
    for sentences in (applied["not_captured"], lab.tidegate("status", "--json").ok().json["not_captured"]):
        assert any("fe80::/10" in one for one in sentences), sentences


def test_nothing_is_said_of_it_where_ipv6_is_not_captured(lab: Lab, backend: str) -> None:
    applied = lab.tidegate("init", "--mode", backend, "--ipv6", "off", "--json").ok().json
    assert not any("fe80::/10" in one for one in applied["not_captured"])


def test_hosts_with_several_interfaces_are_warned_of_sockets_bound_to_one(lab: Lab, backend: str) -> None:
    said = lab.tidegate("init", "--mode", backend).ok().err
    assert ("bound to one" in said) is (backend != "ebpf"), said
    if backend != "ebpf":
        assert "--exclude-outbound-gids" in said
        excluded = lab.tidegate("init", "--mode", backend, "--exclude-interfaces", "net1,vnet0").ok().err
        assert "bound to one" not in excluded


@pytest.mark.parametrize("mode", ["nftables", "iptables", "tproxy"])
def test_the_flags_that_are_advised_do_help_a_bound_socket(lab: Lab, mode: str) -> None:
    for flags in (("--exclude-outbound-gids", "1000"), ("--exclude-interfaces", "eth0")):
        lab.tidegate("init", "--mode", mode, *flags).ok()
        with lab.proxy(ProxyOptions(transparent=mode == "tproxy")):
            assert lab.actor().tcp("10.0.0.1", 80, device="eth0", timeout=1.0).who == "peer"
    lab.tidegate("init", "--mode", mode).ok()
    with lab.proxy(ProxyOptions(transparent=mode == "tproxy")):
        reply = lab.actor().tcp("10.0.0.1", 80, device="eth0", timeout=0.5)
        assert reply.status == "timeout", "it works now: take the warning and the known limit away"
