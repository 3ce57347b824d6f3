"""The host changes under a capture that stays: drift names it, and `init` repairs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.actor import Identity
from tests.lab.cgroup_folder import CgroupFolder
from tests.lab.third_party_proxy import ProxyOptions

pytestmark = pytest.mark.kernel

FAR = ("10.0.0.1", "fd00::1")


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    try:
        yield
    finally:
        lab.resolv_conf = None
        lab.tidegate("cleanup").ok()


def test_a_service_that_restarts_in_a_new_cgroup_of_the_same_name(lab: Lab, backend: str) -> None:
    folder = lab.cgroup.child(f"service-{backend}")
    init = ("init", "--mode", backend, "--cgroup", folder.path, "--json")
    lab.tidegate(*init).ok()
    with lab.proxy(ProxyOptions(transparent=backend == "tproxy")) as proxy:
        lab.adopt(backend, proxy)
        assert answered_by(lab, folder) == ["proxy", "proxy"]
        assert lab.tidegate("status", "--json").ok().json["drift"] == []

        folder.delete()
        drift = lab.tidegate("status", "--json").ended(1).json["drift"]
        assert any(folder.path.lstrip("/") in sentence and "gone" in sentence for sentence in drift), drift

        folder.folder.mkdir()
        assert answered_by(lab, folder) == ["peer", "peer"], "the case is none: the new cgroup is captured already"
        drift = lab.tidegate("status", "--json").ended(1).json["drift"]
        assert any(folder.path.lstrip("/") in sentence and "init" in sentence for sentence in drift), drift

        assert lab.tidegate(*init).ok().json["changed"] is True
        lab.adopt(backend, proxy)
        assert answered_by(lab, folder) == ["proxy", "proxy"]
        assert lab.tidegate("status", "--json").ok().json["drift"] == []
        assert lab.tidegate(*init).ok().json["changed"] is False


def answered_by(lab: Lab, folder: CgroupFolder) -> list[str | None]:
    """Who answers calls of a process that has just been started in the folder, over IPv4 and IPv6."""
    actor = lab.actor(Identity(1000, 1000, (), folder.folder))
    try:
        return [actor.tcp(host, 80).who for host in FAR]
    finally:
        lab.dismiss(actor)


def test_other_servers_in_resolv_conf(lab: Lab, backend: str) -> None:
    def servers(*addresses: str) -> None:
        lab.resolv_conf = "# no other\n" + "".join(f"nameserver {one}\n" for one in addresses)

    def listener_of(server: str) -> int | None:
        asked = ("explain", "outbound", "--dst", f"{server}:53", "--protocol", "udp", "--uid", "1000", "--json")
        return lab.tidegate(*asked).ok().json["listener"]

    init = ("init", "--mode", backend, "--dns", "resolvers", "--json")
    servers("10.0.0.1")
    lab.tidegate(*init).ok()
    assert lab.tidegate("status", "--json").ok().json["drift"] == []
    assert listener_of("10.0.0.1") == 15053

    servers("10.0.0.9")
    assert listener_of("10.0.0.9") is None
    drift = lab.tidegate("status", "--json").ended(1).json["drift"]
    assert any("resolv.conf" in sentence and "10.0.0.9" in sentence for sentence in drift), drift

    assert lab.tidegate(*init).ok().json["changed"] is True
    assert listener_of("10.0.0.9") == 15053
    assert lab.tidegate("status", "--json").ok().json["drift"] == []

    servers()
    drift = lab.tidegate("status", "--json").ended(1).json["drift"]
    assert any("resolv.conf" in sentence for sentence in drift), drift
