"""`explain` and the kernel agree, rule by rule: random intents, random connections, and the programs' own counters."""

from __future__ import annotations

import os
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpf import layout
from cext.libbpf import libbpf
from intercept import capture
from intercept.host.facts import read_host
from intercept.intent.intent import (
    Dns,
    Exempt,
    IdRange,
    Inbound,
    Intent,
    Ipv6,
    Listeners,
    Mode,
    Outbound,
    PortRange,
    SelfCalls,
    UserPortExclusion,
    WhenDown,
)
from intercept.plan.build import build
from intercept.plan.explain import Connection, explain
from intercept.plan.rules import Plan
from tests.lab import Lab
from tests.lab.actor import Identity
from tests.netns.ebpf.ebpf_support import folder

pytestmark = pytest.mark.kernel

NETWORKS = [
    ip_network(text)
    for text in (
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.0.0.1/32",
        "192.0.2.0/24",
        "127.0.0.0/8",
        "127.0.0.1/32",
        "10.0.0.2/32",
        "::/0",
        "fd00::/64",
        "fd00::1/128",
        "2001:db8::/32",
        "::1/128",
        "fd00::2/128",
    )
]
PORTS = (53, 80, 443, 5432, 8080, 9090, 15001, 15006, 15020, 15053)
HOSTS = ("10.0.0.1", "192.0.2.1", "127.0.0.1", "10.0.0.2", "fd00::1", "2001:db8::1", "::1", "fd00::2", "0.0.0.0")
UIDS = GIDS = (1000, 1337, 3)
# What the programs call otherwise, where a plan has one name for both directions or none for the case.
PLAN_NAME = {
    "inbound-own-listener": "own-listener",
    "inbound-default": "default",
    "inbound-outside-cgroup": "outside-cgroup",
    "inbound-proxy-down": "include-inbound-ports",
}

networks = st.lists(st.sampled_from(NETWORKS), max_size=3, unique=True).map(tuple)
ranges = st.one_of(
    st.sampled_from(PORTS).map(lambda port: PortRange(port, port)),
    st.sampled_from([PortRange(80, 443), PortRange(5000, 16000), PortRange(1, 65535), PortRange(8081, 9089)]),
)
port_lists = st.lists(ranges, max_size=2, unique=True).map(tuple)
id_lists = st.lists(
    st.sampled_from([IdRange(1000, 1000), IdRange(3, 3), IdRange(1, 1336), IdRange(1337, 4000)]),
    max_size=2,
    unique=True,
).map(tuple)
exclusions = st.lists(
    st.builds(
        UserPortExclusion,
        protocols=st.sampled_from([frozenset({"tcp"}), frozenset({"udp"}), frozenset({"tcp", "udp"})]),
        ports=st.lists(ranges, min_size=1, max_size=2, unique=True).map(tuple),
        uids=st.lists(st.sampled_from([IdRange(1000, 1000), IdRange(0, 999), IdRange(3, 1000)]), min_size=1, max_size=2)
        .map(set)
        .map(tuple),
    ),
    max_size=3,
).map(tuple)
intents = st.builds(
    Intent,
    mode=st.just(Mode.EBPF),
    outbound=st.builds(
        Outbound,
        include_cidrs=st.one_of(st.none(), networks),
        exclude_cidrs=networks,
        include_ports=port_lists,
        exclude_ports=port_lists,
        include_gids=st.one_of(st.none(), id_lists),
        exclude_gids=id_lists,
        exclude_for=exclusions,
    ),
    inbound=st.builds(
        Inbound, include_ports=st.one_of(st.none(), port_lists), exclude_ports=port_lists, exclude_cidrs=networks
    ),
    exempt=st.builds(
        Exempt,
        uids=st.sampled_from([(1337,), (), (3, 1337)]),
        gids=st.sampled_from([(1337,), (), (3,)]),
        sources=st.sampled_from([(), ("10.0.0.2", "fd00::2")]),
        mark=st.none(),
    ),
    self_calls=st.sampled_from(SelfCalls),
    dns=st.sampled_from([Dns.OFF, Dns.ALL]),
    ipv6=st.sampled_from([Ipv6.AUTO, Ipv6.OFF]),
    # What is left out here Hypothesis may make up from the type, and this mode can't name interfaces.
    exclude_interfaces=st.just(()),
    virtual_interfaces=st.just(()),
    cgroup=st.none(),
    listeners=st.just(Listeners()),
    drop_invalid=st.booleans(),
    when_down=st.just(WhenDown.CLOSED),
    tproxy_mark=st.just(1337),
    tproxy_table=st.just(133),
    inbound_explicit=st.just(False),
)
outbound_calls = st.lists(
    st.tuples(st.sampled_from(HOSTS), st.sampled_from(PORTS), st.sampled_from(UIDS), st.sampled_from(GIDS)),
    min_size=1,
    max_size=8,
)
inbound_calls = st.lists(st.tuples(st.sampled_from(["10.0.0.2", "fd00::2"]), st.sampled_from(PORTS)), max_size=4)


class Counters:
    """What the programs have counted since the last look."""

    def __init__(self, lab: Lab) -> None:
        fd = libbpf.get_pinned(folder(lab.app) / "maps" / "tg_counters")
        self._fd = fd
        self._seen = self._read()

    def close(self) -> None:
        os.close(self._fd)

    def _read(self) -> list[int]:
        return [libbpf.map_sum_u64(self._fd, index) for index in range(len(layout.RULES))]

    def moved(self) -> set[str]:
        now = self._read()
        names = {name for name, was, is_now in zip(layout.RULES, self._seen, now, strict=True) if is_now > was}
        self._seen = now
        return names


def in_plan_words(names: set[str]) -> set[str]:
    return {PLAN_NAME.get(name, name) for name in names}


@pytest.mark.timeout(400)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(intent=intents, calls=outbound_calls, arrivals=inbound_calls)
def test_the_rule_that_decides_is_the_one_that_explain_names(
    lab: Lab, intent: Intent, calls: list[tuple[str, int, int, int]], arrivals: list[tuple[str, int]]
) -> None:
    try:
        with lab.app.entered():
            plan = build(intent, read_host(), Mode.EBPF)
            capture.apply(intent)
        counters = Counters(lab)
        try:
            for call in calls:
                _outbound(lab, plan, counters, call)
            for host, port in arrivals:
                _inbound(lab, plan, counters, host, port)
        finally:
            counters.close()
    finally:
        with lab.app.entered():
            capture.remove()


def _outbound(lab: Lab, plan: Plan, counters: Counters, call: tuple[str, int, int, int]) -> None:
    host, port, uid, gid = call
    address = ip_address(host)
    own = address.is_loopback or address.is_unspecified or host in {"10.0.0.2", "fd00::2"}
    caller = Connection.outbound(uid=uid, gid=gid)
    wanted = explain(plan, caller.to(address, port, local=own))
    counters.moved()
    lab.actor(Identity(uid, gid)).tcp(host, port, timeout=0.3)
    # A local call that goes direct, or is steered, is looked at a second time as it arrives.
    found = in_plan_words(counters.moved()) - {"loopback-interface"}
    assert found == {wanted.rule}, f"{call}: explain says {wanted}, the kernel counted {found}"


def _inbound(lab: Lab, plan: Plan, counters: Counters, host: str, port: int) -> None:
    source = ip_address("10.0.0.1" if "." in host else "fd00::1")
    connection = Connection("inbound", ip_address(host), port, source=source, interface="eth0", local=True)
    wanted = explain(plan, connection)
    counters.moved()
    lab.actor(namespace=lab.peer).tcp(host, port, timeout=0.3)
    found = in_plan_words(counters.moved())
    # Packets that are none of ours to judge are not counted: IPv6 under --ipv6 off.
    assert found == ({wanted.rule} - {"ipv6-off"}), f"{host}:{port}: explain says {wanted}, the kernel counted {found}"
