"""A rule's conditions on addresses, as iptables says them, hold for exactly the packets that the plan means."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercept.backends.iptables.match import Sets, Way, alternatives
from intercept.intent.intent import Network
from intercept.plan.rules import Condition, Direct, DstIn, Not, Rule, SrcIn

NETWORKS = ("0.0.0.0/0", "::/0", "10.0.0.0/8", "10.0.0.0/30", "10.0.0.2/32", "192.0.2.0/24", "fd00::/64", "fd00::1/128")
ADDRESSES = {4: ("10.0.0.1", "10.0.0.2", "10.9.9.9", "192.0.2.7", "8.8.8.8"), 6: ("fd00::1", "fd00::2", "2001:db8::1")}

lists = st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=6, unique=True).map(
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
@given(conditions=st.lists(destinations | lists.map(SrcIn), min_size=1, max_size=3))
def test_address_conditions_hold_for_the_packets_that_are_meant(family: int, conditions: list[Condition]) -> None:
    if sum(isinstance(condition, SrcIn) for condition in conditions) > 1:
        conditions = [condition for condition in conditions if not isinstance(condition, SrcIn)] or conditions[:1]
    sets = Sets(lambda suffix: f"S{suffix}")
    ways = alternatives(Rule("r", tuple(conditions), Direct(), ""), family, "out", sets)
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
