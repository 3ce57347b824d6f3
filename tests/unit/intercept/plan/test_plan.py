"""The order of the rules, told by what is decided for one connection after the other."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercept.errors import BadInput, Unsupported
from intercept.host.facts import HostFacts
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import Mode
from intercept.plan.build import Plan, build
from intercept.plan.explain import Connection, State, explain
from tests.unit.intercept import strategies

HOST = HostFacts(resolvers=("10.0.0.53",))


def plan(mode: Mode = Mode.NFTABLES, host: HostFacts = HOST, **flags: Any) -> Plan:
    return build(intent_from_flags(flags, cgroup_mount="/sys/fs/cgroup"), host, mode)


def outbound(made: Plan, to: str, port: int, *, local: bool = False, **who: Any) -> tuple[str, int | None, str]:
    caller = {"uid": 1000, "gid": 1000, **who}
    decision = explain(made, Connection("outbound", ip_address(to), port, local=local, **caller))
    return decision.decision, decision.listener, decision.rule


def inbound(made: Plan, port: int, *, src: str = "10.0.0.1", **how: Any) -> tuple[str, int | None, str]:
    connection = Connection("inbound", ip_address("10.0.0.2"), port, source=ip_address(src), local=True)
    from dataclasses import replace

    decision = explain(made, replace(connection, **{"interface": "eth0", **how}))
    return decision.decision, decision.listener, decision.rule


def test_defaults_capture_everything_but_loopback() -> None:
    made = plan()
    assert outbound(made, "192.0.2.1", 80) == ("capture", 15001, "include-outbound-cidrs")
    assert outbound(made, "2001:db8::1", 80) == ("capture", 15001, "include-outbound-cidrs")
    assert outbound(made, "10.0.0.2", 80, local=True)[0] == "capture", "--self-calls proxy"
    assert outbound(made, "127.0.0.1", 80, local=True) == ("direct", None, "loopback")
    assert outbound(made, "::1", 80, local=True) == ("direct", None, "loopback")
    assert outbound(made, "192.0.2.1", 53, protocol="udp")[0] == "direct"
    assert inbound(made, 8080) == ("capture", 15006, "include-inbound-ports")
    assert inbound(made, 8080, interface="lo") == ("direct", None, "loopback-interface")
    assert inbound(made, 15020) == ("direct", None, "telemetry-port")


def test_excluded_ports_come_before_everything() -> None:
    made = plan(exclude_outbound_ports="15001,5432,53", include_outbound_ports="5432", dns="all", self_calls="hairpin")
    for port in (15001, 5432, 53):
        assert outbound(made, "10.0.0.2", port, local=True) == ("direct", None, "exclude-outbound-ports")
    assert outbound(made, "10.0.0.53", 53, protocol="udp") == ("direct", None, "exclude-outbound-ports")


def test_a_listener_dialled_straight_is_refused_on_own_addresses_only() -> None:
    made = plan()
    for port in (15001, 15006):
        assert outbound(made, "10.0.0.2", port, local=True) == ("drop", None, "own-listener")
        assert outbound(made, "127.0.0.1", port, local=True, uid=1337) == ("drop", None, "own-listener")
        assert outbound(made, "192.0.2.1", port)[:2] == ("capture", 15001)
        assert inbound(made, port) == ("drop", None, "own-listener")
    assert outbound(made, "10.0.0.2", 15053, local=True)[0] == "capture", "no DNS listener without --dns"
    with_dns = plan(dns="all")
    assert outbound(with_dns, "10.0.0.2", 15053, local=True)[0] == "drop"
    assert outbound(with_dns, "10.0.0.2", 15053, local=True, protocol="udp")[0] == "drop"


def test_the_proxy_is_exempt() -> None:
    made = plan(proxy_uid="3,4", proxy_gid="7", proxy_mark="0x10")
    assert outbound(made, "192.0.2.1", 80, uid=3)[2] == "exempt-uid"
    assert outbound(made, "192.0.2.1", 80, gid=7)[2] == "exempt-gid"
    assert outbound(made, "192.0.2.1", 80, mark=16)[2] == "exempt-mark"
    assert outbound(made, "192.0.2.1", 80, uid=5)[0] == "capture"


def test_hairpin_brings_the_proxys_own_calls_to_the_inbound_listener() -> None:
    made = plan(self_calls="hairpin")
    assert outbound(made, "10.0.0.2", 8080, local=True, uid=1337) == ("capture", 15006, "hairpin-uid")
    assert outbound(made, "10.0.0.2", 8080, local=True, gid=1337) == ("capture", 15006, "hairpin-gid")
    assert outbound(made, "127.0.0.1", 8080, local=True, uid=1337)[0] == "direct"
    assert outbound(made, "10.0.0.2", 15020, local=True, uid=1337)[0] == "direct"
    assert outbound(made, "10.0.0.2", 8080, local=True) == ("direct", None, "self-call")
    assert outbound(made, "192.0.2.1", 8080, uid=1337)[0] == "direct"


def test_bypass_leaves_own_addresses_alone_but_not_listed_loopback() -> None:
    made = plan(self_calls="bypass", include_outbound_cidrs="127.0.0.2,10.0.0.0/8")
    assert outbound(made, "10.0.0.2", 8080, local=True)[2] == "self-call"
    assert outbound(made, "127.0.0.2", 8080, local=True)[:2] == ("capture", 15001)
    assert outbound(made, "127.0.0.3", 8080, local=True)[2] == "loopback"


def test_only_networks_within_loopback_list_it() -> None:
    for written in ("0.0.0.0/0,::/0", "*", "0.0.0.0/1"):
        assert outbound(plan(include_outbound_cidrs=written), "127.0.0.1", 80, local=True)[2] == "loopback"
    made = plan(include_outbound_cidrs="127.0.0.0/8,::1")
    assert outbound(made, "127.9.9.9", 80, local=True)[0] == outbound(made, "::1", 80, local=True)[0] == "capture"


def test_dns_wins_over_loopback_and_self_calls_and_loses_to_excludes() -> None:
    made = plan(dns="all", self_calls="bypass", exclude_outbound_cidrs="8.8.8.8", include_outbound_cidrs="")
    for protocol in ("tcp", "udp"):
        assert outbound(made, "127.0.0.53", 53, local=True, protocol=protocol) == ("capture", 15053, "dns")
        assert outbound(made, "10.0.0.2", 53, local=True, protocol=protocol)[2] == "dns"
        assert outbound(made, "8.8.8.8", 53, protocol=protocol)[2] == "exclude-outbound-cidrs"
        assert outbound(made, "192.0.2.1", 53, protocol=protocol, uid=1337)[2] == "exempt-uid"
    assert outbound(made, "192.0.2.1", 443, protocol="udp")[0] == "direct"


def test_resolvers_are_those_of_resolv_conf_and_none_is_a_warning() -> None:
    made = plan(dns="resolvers")
    assert outbound(made, "10.0.0.53", 53, protocol="udp") == ("capture", 15053, "dns")
    assert outbound(made, "8.8.8.8", 53, protocol="udp")[0] == "direct"
    assert outbound(made, "8.8.8.8", 53)[:2] == ("capture", 15001), "TCP to another server is traffic like any other"
    none = plan(dns="resolvers", host=HostFacts())
    assert outbound(none, "10.0.0.53", 53, protocol="udp")[0] == "direct"
    assert any("resolv.conf" in warning for warning in none.warnings)


def test_groups_and_users() -> None:
    made = plan(include_outbound_gids="500-600", exclude_outbound_gids="550", exclude_outbound_for=["tcp:5432:1001"])
    assert outbound(made, "192.0.2.1", 80, gid=500)[0] == "capture"
    assert outbound(made, "192.0.2.1", 80, gid=550)[2] == "exclude-outbound-gids"
    assert outbound(made, "192.0.2.1", 80, gid=700)[2] == "include-outbound-gids"
    assert outbound(made, "192.0.2.1", 5432, gid=500, uid=1001)[2] == "exclude-outbound-for"
    assert outbound(plan(include_outbound_gids=""), "192.0.2.1", 80)[0] == "direct"


def test_interfaces_and_scope() -> None:
    made = plan(exclude_interfaces="net1", virtual_interfaces="tap0", cgroup="/a", exclude_outbound_ports="22")
    assert outbound(made, "192.0.2.1", 80, interface="net1")[2] == "exclude-interfaces"
    assert outbound(made, "192.0.2.1", 80, in_cgroup=False)[2] == "outside-cgroup"
    assert inbound(made, 80, interface="net1")[2] == "exclude-interfaces"
    assert inbound(made, 80, in_cgroup=False)[2] == "outside-cgroup"
    assert inbound(made, 80, interface="tap0", local=False)[:2] == ("capture", 15001)
    assert inbound(made, 22, interface="tap0", local=False)[2] == "exclude-outbound-ports"
    assert inbound(made, 80, local=False)[2] == "not-local"


def test_inbound_excludes_win() -> None:
    made = plan(include_inbound_ports="4000,5000", exclude_inbound_ports="5000", exclude_inbound_cidrs="10.0.0.9")
    assert inbound(made, 4000)[0] == "capture"
    assert inbound(made, 5000)[2] == "exclude-inbound-ports"
    assert inbound(made, 4000, src="10.0.0.9")[2] == "exclude-inbound-cidrs"
    assert inbound(made, 6000)[2] == "default"


def test_begun_and_invalid_packets() -> None:
    made = plan(drop_invalid=True)
    assert outbound(made, "192.0.2.1", 80, state=State.BEGUN)[2] == "begun"
    assert inbound(made, 8080, state=State.INVALID) == ("drop", None, "drop-invalid")
    assert inbound(made, 8080, state=State.INVALID, interface="lo")[0] == "direct"


def test_addresses_are_judged_as_they_stand_in_packets() -> None:
    made = plan(exclude_outbound_cidrs="192.0.2.1")
    caller = Connection.outbound(uid=1000, gid=1000)
    assert explain(made, caller.to(ip_address("::ffff:192.0.2.1"), 80, local=False)).rule == "exclude-outbound-cidrs"
    assert explain(made, caller.to(ip_address("0.0.0.0"), 80, local=True)).rule == "loopback"


def test_what_a_mode_cannot_do_is_named() -> None:
    with pytest.raises(Unsupported, match=r"--include-inbound-ports .*--cgroup.* iptables"):
        plan(Mode.IPTABLES, cgroup="/a", include_inbound_ports="80")
    left = plan(Mode.IPTABLES, cgroup="/a")
    assert any("inbound" in text for text in left.not_captured)
    assert inbound(left, 80)[0] == "direct"
    for flag in ("exclude_interfaces", "virtual_interfaces"):
        with pytest.raises(Unsupported, match=rf"--{flag.replace('_', '-')} .* ebpf mode"):
            plan(Mode.EBPF, **{flag: "eth0"})
        assert plan(Mode.IPTABLES, **{flag: "eth0"})
    missing = HostFacts(ipv6_missing="IPv6 is disabled here")
    with pytest.raises(Unsupported, match="IPv6 is disabled here"):
        plan(host=missing, ipv6="required")
    assert any("IPv6 is disabled here" in text for text in plan(host=missing).not_captured)
    assert plan(ipv6="off").families == (4,)


def test_without_ip6tables_only_iptables_mode_does_without_ipv6() -> None:
    missing = HostFacts(ip6tables_missing="the kernel lacks the ip6tables nat table")
    made = plan(Mode.IPTABLES, missing)
    assert made.families == (4,)
    assert any("ip6tables nat table" in text for text in made.not_captured)
    with pytest.raises(Unsupported, match=r"--ipv6 required .* iptables mode: the kernel lacks the ip6tables"):
        plan(Mode.IPTABLES, missing, ipv6="required")
    assert plan(Mode.IPTABLES, missing, ipv6="off").families == (4,)
    assert plan(Mode.NFTABLES, missing).families == (4, 6)


def test_excluding_everything_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="--exclude-outbound-cidrs"):
        plan(exclude_outbound_cidrs="*")


def test_listeners_are_apart() -> None:
    with pytest.raises(BadInput, match="--inbound-port"):
        plan(inbound_port="15001")


CONNECTION = st.builds(
    Connection,
    st.sampled_from(["outbound", "inbound"]),
    st.ip_addresses(),
    st.integers(1, 65535),
    st.sampled_from(["tcp", "udp"]),
    source=st.none() | st.ip_addresses(),
    uid=st.none() | strategies.ID,
    gid=st.none() | strategies.ID,
    mark=st.sampled_from([0, 1]),
    interface=st.sampled_from([None, "lo", "eth0"]),
    local=st.booleans(),
    in_cgroup=st.booleans(),
)


@given(strategies.flags(), CONNECTION)
def test_every_connection_is_decided_and_excludes_win(flags: dict[str, Any], connection: Connection) -> None:
    made = build(intent_from_flags(flags, cgroup_mount="/x"), HOST, Mode.NFTABLES)
    decision = explain(made, connection)
    assert decision.decision in ("capture", "direct", "drop")
    assert (decision.listener is not None) == (decision.decision == "capture")
    excluded = (
        made.intent.outbound.exclude_ports if connection.direction == "outbound" else made.intent.inbound.exclude_ports
    )
    virtual = connection.direction == "inbound" and connection.interface in made.intent.virtual_interfaces
    if any(one.first <= connection.port <= one.last for one in excluded) and not virtual:
        assert decision.decision == "direct"
    if connection.protocol == "udp" and connection.port != 53:
        assert decision.decision != "capture"
