"""A rule's conditions on addresses, as iptables says them, hold for exactly the packets that the plan means."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intercept.backends.iptables.match import Sets, Way, alternatives
from intercept.intent.intent import Network, PortRange
from intercept.plan.rules import (
    Condition,
    Direct,
    DstIn,
    DstOwn,
    DstPort,
    Family,
    Interface,
    Not,
    Protocol,
    Rule,
    SrcIn,
)

NETWORKS = ("0.0.0.0/0", "::/0", "10.0.0.0/8", "10.0.0.0/30", "10.0.0.2/32", "192.0.2.0/24", "fd00::/64", "fd00::1/128")
ADDRESSES = {4: ("10.0.0.1", "10.0.0.2", "10.9.9.9", "192.0.2.7", "8.8.8.8"), 6: ("fd00::1", "fd00::2", "2001:db8::1")}

lists = st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=5, unique=True).map(
    lambda texts: tuple(ipaddress.ip_network(text) for text in texts)
)


def is_in(address: str, networks: tuple[Network, ...]) -> bool:
    one = ipaddress.ip_address(address)
    return any(one.version == network.version and one in network for network in networks)


def holds(way: Way, source: str, destination: str, sets: Sets) -> bool:
    """What the kernel does with an entry of this header and these matches."""
    head = way.header
    if head.source is not None and not is_in(source, (head.source,)):
        return False
    if head.destination is not None and is_in(destination, (head.destination,)) is head.not_destination:
        return False
    for match in way.matches:
        words = match.text.split()
        assert words[:2] == ["-m", "set"], match.text
        address = source if words[-1] == "src" else destination
        if is_in(address, sets.networks[words[-2]]) is ("!" in words):
            return False
    return True


def means(condition: Condition, source: str, destination: str) -> bool:
    if isinstance(condition, Not):
        return not means(condition.condition, source, destination)
    if isinstance(condition, SrcIn):
        return is_in(source, condition.networks)
    assert isinstance(condition, DstIn)
    return is_in(destination, condition.networks)


destinations = st.builds(
    lambda networks, negated: Not(DstIn(networks)) if negated else DstIn(networks), lists, st.booleans()
)


@pytest.mark.parametrize("family", [4, 6])
@settings(max_examples=300)
@given(conditions=st.lists(destinations | lists.map(SrcIn), min_size=1, max_size=3))
def test_address_conditions_hold_for_the_packets_that_are_meant(family: int, conditions: list[Condition]) -> None:
    if sum(isinstance(condition, SrcIn) for condition in conditions) > 1:
        conditions = [condition for condition in conditions if not isinstance(condition, SrcIn)] or conditions[:1]
    sets = Sets(lambda suffix: f"S{suffix}")
    ways = alternatives(Rule("r", tuple(conditions), Direct(), ""), family, "out", sets)
    for networks in sets.networks.values():
        assert networks, "an empty set"
        assert all(network.prefixlen for network in networks), "ipset's hash:net has no /0"
    for source in ADDRESSES[family]:
        for destination in ADDRESSES[family]:
            meant = all(means(condition, source, destination) for condition in conditions)
            assert any(holds(way, source, destination, sets) for way in ways) is meant, (source, destination, ways)


@pytest.mark.parametrize(("everywhere", "family"), [("0.0.0.0/0", 4), ("::/0", 6)])
def test_outside_of_everywhere_is_nowhere(everywhere: str, family: int) -> None:
    networks = DstIn((ipaddress.ip_network(everywhere),))
    for version in (4, 6):
        inside = alternatives(Rule("r", (networks,), Direct(), ""), version, "out", Sets(str))
        outside = alternatives(Rule("r", (Not(networks),), Direct(), ""), version, "out", Sets(str))
        assert (bool(inside), bool(outside)) == ((version == family), (version != family))


def test_short_lists_are_entries_and_long_ones_a_set() -> None:
    def ways(count: int, *, source: bool) -> list[Way]:
        networks = tuple(ipaddress.ip_network(f"10.0.{number}.0/24") for number in range(count))
        condition = SrcIn(networks) if source else DstIn(networks)
        return alternatives(Rule("r", (condition,), Direct(), ""), 4, "in", Sets(lambda suffix: f"S{suffix}"))

    for source in (False, True):
        assert [len(ways(count, source=source)) for count in (1, 3, 4)] == [1, 3, 1]
        (long,) = ways(4, source=source)
        assert [match.text for match in long.matches] == [f"-m set --match-set SN0 {'src' if source else 'dst'}"]


def ways_of(*conditions: Condition, family: int = 4, side: str = "out", sets: Sets | None = None) -> list[Way]:
    return alternatives(Rule("r", conditions, Direct(), ""), family, side, sets or Sets(lambda suffix: f"S{suffix}"))


def test_a_list_of_networks_becomes_one_set_however_often_it_stands() -> None:
    short, long = (tuple(ipaddress.ip_network(f"10.0.{n}.0/24") for n in range(count)) for count in (4, 5))
    sets = Sets(lambda suffix: f"S{suffix}")
    for networks in (short, long, short):
        ways_of(DstIn(networks), sets=sets)
    assert sets.networks == {"SN0": short, "SN1": long}


def test_a_second_list_of_destinations_is_a_set_because_an_entry_has_room_for_one() -> None:
    one, other = (DstIn((ipaddress.ip_network(text),)) for text in ("10.0.0.0/8", "10.1.0.0/16"))
    (way,) = ways_of(one, Not(other))
    assert str(way.header.destination) == "10.0.0.0/8"
    assert [match.text for match in way.matches] == ["-m set ! --match-set SN0 dst"]


@pytest.mark.parametrize("family", [4, 6])
def test_a_rule_for_one_family_is_in_that_familys_table_only(family: int) -> None:
    assert bool(ways_of(Family(4), family=family)) is (family == 4)
    assert bool(ways_of(Not(Family(4)), family=family)) is (family == 6)


def test_an_interface_is_where_the_packet_has_one() -> None:
    (arriving,), (leaving,) = (ways_of(Interface(("eth7",)), side=side) for side in ("in", "out"))
    assert (arriving.header.in_interface, arriving.header.out_interface) == ("eth7", None)
    assert (leaving.header.in_interface, leaving.header.out_interface) == (None, "eth7")


def test_a_rule_with_ports_is_said_for_each_protocol() -> None:
    ways = ways_of(DstOwn(), DstPort((PortRange(53, 53),)))
    assert [way.header.protocol for way in ways] == ["tcp", "udp"]
    assert [way.matches[-1].module for way in ways] == ["tcp", "udp"]
    assert [way.header.protocol for way in ways_of(DstOwn())] == [None]


def test_as_many_ports_as_multiport_takes_and_then_a_set() -> None:
    def module(count: int) -> str:
        ports = tuple(PortRange(2 * number + 1, 2 * number + 1) for number in range(count))
        (way,) = ways_of(Protocol(("tcp",)), DstPort(ports))
        return way.matches[-1].module

    assert [module(count) for count in (1, 2, 15, 16)] == ["tcp", "multiport", "multiport", "set"]
