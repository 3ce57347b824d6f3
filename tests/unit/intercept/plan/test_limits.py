"""What a plan leaves uncaptured is said, each thing when it is so and only then; so is what deserves a warning."""

from __future__ import annotations

from typing import Any

import pytest

from intercept.errors import Unsupported
from intercept.host.facts import HostFacts
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import Mode
from intercept.plan.build import build
from intercept.plan.limits import left_uncaptured, warnings_about

HOST = HostFacts(resolvers=("10.0.0.53",))
PROXY = ("traffic of the users 1337 (the proxy)", "traffic of the groups 1337 (the proxy)")
LINK_LOCAL = "outbound to IPv6 link-local addresses (fe80::/10), DNS servers among them"
BOUND = "sockets that are bound to a network interface (SO_BINDTODEVICE): they go direct"
NO_DNS, DNS = "UDP, QUIC (HTTP/3) and DNS among it", "UDP other than DNS, QUIC (HTTP/3) among it"


def left(mode: Mode = Mode.NFTABLES, host: HostFacts = HOST, **flags: Any) -> set[str]:
    return set(left_uncaptured(intent_from_flags(flags, cgroup_mount="/c"), host, mode))


def test_the_defaults_leave_udp_and_the_proxy() -> None:
    assert left() == {NO_DNS, LINK_LOCAL, *PROXY}
    assert left(Mode.EBPF) == {NO_DNS, LINK_LOCAL, BOUND, *PROXY}


@pytest.mark.parametrize(
    ("flags", "more", "less"),
    [
        ({"dns": "all"}, {DNS}, {NO_DNS}),
        ({"dns": "resolvers"}, {DNS}, {NO_DNS}),
        ({"ipv6": "off"}, {"IPv6: --ipv6 is off"}, {LINK_LOCAL}),
        ({"proxy_uid": ""}, set(), {PROXY[0]}),
        ({"proxy_gid": ""}, set(), {PROXY[1]}),
        ({"proxy_mark": "0x99"}, {"traffic with socket mark 0x99 (the proxy)"}, set()),
        ({"cgroup": "a/b"}, {"processes outside cgroup a/b"}, set()),
        ({"include_outbound_gids": "7"}, {"groups that --include-outbound-gids does not list"}, set()),
        ({"exclude_outbound_gids": "7"}, {"groups of --exclude-outbound-gids"}, set()),
        ({"exclude_interfaces": "net1,net2"}, {"interface net1", "interface net2"}, set()),
    ],
)
def test_each_limit_is_said_when_it_is_one(flags: dict[str, str], more: set[str], less: set[str]) -> None:
    assert left(**flags) == ({NO_DNS, LINK_LOCAL, *PROXY} | more) - less


def test_ipv6_that_is_missing_is_said_and_required_refuses() -> None:
    host = HostFacts(ipv6_missing="the kernel has none")
    assert "IPv6: the kernel has none" in left(host=host)
    tables = HostFacts(ip6tables_missing="no ip6_tables")
    assert "IPv6: no ip6_tables" in left(Mode.IPTABLES, tables)
    assert "IPv6: no ip6_tables" not in left(Mode.NFTABLES, tables)
    for lacking, mode in ((host, Mode.NFTABLES), (tables, Mode.IPTABLES)):
        with pytest.raises(Unsupported, match=f"--ipv6 required.*{mode}"):
            build(intent_from_flags({"ipv6": "required"}), lacking, mode)
    build(intent_from_flags({"ipv6": "required"}), tables, Mode.NFTABLES)


INBOUND = "inbound: iptables mode cannot limit inbound capture to --cgroup"


@pytest.mark.parametrize("mode", [Mode.NFTABLES, Mode.IPTABLES, Mode.TPROXY, Mode.EBPF])
def test_only_iptables_leaves_a_cgroups_inbound_and_only_when_it_was_not_asked_for(mode: Mode) -> None:
    assert (INBOUND in left(mode, cgroup="a")) is (mode is Mode.IPTABLES)
    assert INBOUND not in left(mode)
    assert INBOUND not in left(mode, cgroup="a", include_inbound_ports="")
    asked = intent_from_flags({"cgroup": "a", "include-inbound-ports": "80"}, cgroup_mount="/c")
    if mode is Mode.IPTABLES:
        with pytest.raises(Unsupported, match="--include-inbound-ports with --cgroup"):
            build(asked, HOST, mode)
    else:
        build(asked, HOST, mode)


@pytest.mark.parametrize("flag", ["--exclude-interfaces", "--virtual-interfaces"])
def test_ebpf_refuses_interfaces_by_their_flag(flag: str) -> None:
    with pytest.raises(Unsupported, match=f"{flag} is not possible in ebpf mode"):
        build(intent_from_flags({flag: "net1"}), HOST, Mode.EBPF)
    build(intent_from_flags({flag: "net1"}), HOST, Mode.NFTABLES)


def test_a_plan_is_made_for_a_mode() -> None:
    with pytest.raises(ValueError, match="resolved mode"):
        build(intent_from_flags({}), HOST, Mode.AUTO)


def warned(host: HostFacts = HOST, mode: Mode = Mode.NFTABLES, **flags: Any) -> list[str]:
    return [text.split(":")[0] for text in warnings_about(intent_from_flags(flags, cgroup_mount="/c"), host, mode)]


def test_warnings_come_when_they_are_due() -> None:
    root = "exempts everything that runs as root from capture, the workload too if it does"
    assert warned() == []
    assert warned(proxy_uid="0") == [f"--proxy-uid 0 {root}"]
    assert warned(proxy_gid="5,0") == [f"--proxy-gid 0 {root}"]
    assert warned(proxy_uid="1", proxy_gid="1") == []
    assert warned(dns="resolvers") == []
    assert warned(HostFacts(), dns="resolvers") == ["--dns resolvers"]
    assert warned(HostFacts(), dns="all") == []


@pytest.mark.parametrize("who", [{"proxy_uid": "7"}, {"proxy_gid": "7"}, {"proxy_mark": "7"}, {"cgroup": "a"}])
def test_a_proxy_that_nothing_exempts_is_warned_of(who: dict[str, str]) -> None:
    nobody = {"proxy_uid": "", "proxy_gid": ""}
    assert warned(**nobody) == ["nobody is exempt by uid, gid, mark or cgroup"]
    assert warned(**{**nobody, **who}) == []
