"""getsockname() of a captured connection shows what it would show without capture."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.netns.ebpf.ebpf_support import APP, LOOPBACK, PEER, listening, made_in

pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
OTHER = {socket.AF_INET: "10.0.0.77", socket.AF_INET6: "fd00::77"}
FAR = {socket.AF_INET: "198.18.77.0/24", socket.AF_INET6: "2001:db8:77::/48"}
IN_FAR = {socket.AF_INET: "198.18.77.9", socket.AF_INET6: "2001:db8:77::9"}


@pytest.fixture(scope="module", autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "ebpf").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


def shown(lab: Lab, family: int, host: str, source: str = "") -> str:
    with listening(lab.app, family, 15001) as listener, made_in(lab.app, family) as client:
        if source:
            client.bind((source, 0))
        client.connect((host, 80))
        accepted, peer = listener.accept()
        with accepted:
            own = client.getsockname()
            assert own[1] == peer[1]
            return str(own[0])


@FAMILIES
def test_the_address_that_routing_chooses(lab: Lab, family: int) -> None:
    assert shown(lab, family, PEER[family]) == APP[family]


def test_of_a_v4_mapped_socket(lab: Lab) -> None:
    with listening(lab.app, socket.AF_INET, 15001) as listener, made_in(lab.app, socket.AF_INET6) as client:
        client.connect(("::ffff:10.0.0.1", 80))
        listener.accept()[0].close()
        assert client.getsockname()[0] == "::ffff:10.0.0.2"


@FAMILIES
def test_an_address_of_this_namespace(lab: Lab, family: int) -> None:
    assert shown(lab, family, APP[family]) == APP[family]


@FAMILIES
def test_a_bound_address_stays(lab: Lab, family: int) -> None:
    assert shown(lab, family, PEER[family], source=APP[family]) == APP[family]


@FAMILIES
def test_what_is_not_captured_shows_what_it_has(lab: Lab, family: int) -> None:
    with listening(lab.app, family, 7401) as server, made_in(lab.app, family) as client:
        client.connect((LOOPBACK[family], 7401))
        server.accept()[0].close()
        assert client.getsockname()[0] == LOOPBACK[family]


def routed(lab: Lab, family: int, host: str) -> str:
    with made_in(lab.app, family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])


def refresh(lab: Lab) -> None:
    from intercept.backends.ebpf import backend

    with lab.app.entered():
        backend.refresh_addresses()


@FAMILIES
def test_a_preferred_source_of_a_route_that_comes_and_goes(lab: Lab, family: int) -> None:
    ip = ["ip", "-6"] if family == socket.AF_INET6 else ["ip"]
    bits = "128" if family == socket.AF_INET6 else "32"
    nodad = ["nodad"] if family == socket.AF_INET6 else []
    before = shown(lab, family, IN_FAR[family])
    lab.app.run([*ip, "address", "add", f"{OTHER[family]}/{bits}", "dev", "eth0", *nodad])
    try:
        lab.app.run([*ip, "route", "add", FAR[family], "via", PEER[family], "src", OTHER[family]])
        refresh(lab)
        assert shown(lab, family, IN_FAR[family]) == OTHER[family]
        assert shown(lab, family, PEER[family]) == routed(lab, family, PEER[family])
        lab.app.run([*ip, "route", "del", FAR[family]])
    finally:
        lab.app.run([*ip, "address", "del", f"{OTHER[family]}/{bits}", "dev", "eth0"])
    refresh(lab)
    assert shown(lab, family, IN_FAR[family]) == before


def test_rules_of_routing_are_named(lab: Lab) -> None:
    def named() -> bool:
        return any("getsockname()" in one for one in lab.tidegate("status", "--json").json["not_captured"])

    assert not named()
    lab.app.run(["ip", "rule", "add", "fwmark", "0x77", "lookup", "77"])
    try:
        assert named()
    finally:
        lab.app.run(["ip", "rule", "del", "fwmark", "0x77", "lookup", "77"])
