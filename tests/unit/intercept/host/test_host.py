"""Reading the kernel's own tables into facts."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from intercept.host import cgroups
from intercept.host.facts import _own_networks, interfaces_in, resolvers_in
from intercept.intent.value import Value

FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.0.0.0
        /24 link UNICAST
     |-- 10.0.0.2
        /32 host LOCAL
     |-- 10.0.0.255
        /32 link BROADCAST
     |-- 127.0.0.0
        /8 host LOCAL
Id 133:
     |-- 0.0.0.0
        /0 host LOCAL
Local:
     |-- 10.0.0.2
        /32 host LOCAL
     |-- 192.0.2.0
        /24 host LOCAL
"""
IPV6_ROUTE = (
    "fd000000000000000000000000000002 80 "
    + "0" * 32
    + " 00 "
    + "0" * 32
    + " 00000000 00000003 00000000 80200001     eth0\n"
    "00000000000000000000000000000000 00 "
    + "0" * 32
    + " 00 "
    + "0" * 32
    + " 00000400 00000001 00000000 80200001       lo\n"
    "fd000000000000000000000000000000 40 "
    + "0" * 32
    + " 00 "
    + "0" * 32
    + " 00000100 00000001 00000000 00000001     eth0\n"
)


def test_own_addresses_are_those_that_routing_calls_local() -> None:
    found = set(_own_networks(FIB_TRIE, IPV6_ROUTE))
    assert found == {ip_network(n) for n in ("10.0.0.2", "127.0.0.0/8", "192.0.2.0/24", "::1", "fd00::2")}


def test_resolvers() -> None:
    servers = ("10.0.0.53", "fe80::1%eth0", "nonsense", "::ffff:10.0.0.53")
    text = "# c\nsearch x\n" + "".join(f"nameserver {server}\n" for server in servers)
    assert resolvers_in(text) == ("10.0.0.53", "fe80::1")


def test_cgroup_mounts() -> None:
    text = (
        "30 24 0:26 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw\n"
        "31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw\n"
        "32 30 0:28 /sub /mnt/with\\040blank rw - cgroup2 none rw\n"
    )
    assert cgroups.mounts_in(text) == [("/", "/sys/fs/cgroup/unified"), ("/sub", "/mnt/with blank")]
    assert (cgroups.level("a"), cgroups.level("a/b/c")) == (1, 3)


class Pair(Value):
    left: int
    right: str = "r"


def test_values_are_compared_by_kind_and_fields_and_never_change() -> None:
    class Other(Value):
        left: int
        right: str = "r"

    assert Pair(1) == Pair(left=1, right="r") != Pair(2)
    assert Pair(1) != Other(1)
    assert hash(Pair(1)) == hash(Pair(1))
    assert repr(Pair(1)) == "Pair(left=1, right='r')"
    with pytest.raises(AttributeError):
        Pair(1).left = 2  # type: ignore[misc]
    for wrong in ({}, {"left": 1, "middle": 2}):
        with pytest.raises(TypeError):
            Pair(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Pair(1, "r", 3)  # type: ignore[call-arg]


def test_interfaces_are_those_that_routes_lead_through() -> None:
    route = "Iface\tDestination\tGateway\neth0\t00000000\t0100000A\nbr-7\t0000000A\t00000000\n"
    ipv6 = "fe80 40 00 00 00 100 1 0 1    eth1\n0001 80 00 00 00 0 2 0 80200001    lo\n"
    assert interfaces_in(route, ipv6) == ("br-7", "eth0", "eth1")
    assert interfaces_in("", "") == ()
