"""What the kernel is told to balance by itself, and what it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.decide.lane import MOST_DIRECT_ENDPOINTS, Lanes
from proxy.core.lanes import Direction, Lane, LaneChoice
from proxy.core.lower.to_engine import Site, rulings
from proxy.core.lower.to_kernel import direct_services, straight_ports
from proxy.core.networks import NetworkSet
from proxy.core.policy.policy import (
    Balancing,
    Destination,
    Policy,
    Protocol,
    RateLimit,
    Target,
    Timeouts,
    frozen,
    shares,
)
from tests.unit.proxy.core.lower.test_to_engine import VIP, cluster, destination

EVERY = Lanes(LaneChoice.AUTO, frozenset(Lane))
INBOUND = destination(Target(1, cluster(endpoints=0, balancing=Balancing.PASSTHROUGH)))


def outbound(one: Destination) -> Policy:
    return Policy(outbound=frozen([(VIP, one)]))


parts = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 7)), min_size=1, max_size=5)


@given(parts)
def test_the_kernel_gets_the_policys_shares(sizes: list[tuple[int, int]]) -> None:
    one = destination(*(Target(weight, cluster("abcde"[n], count)) for n, (weight, count) in enumerate(sizes)))
    found = direct_services(outbound(one), EVERY)
    if not any(weight for weight, _ in sizes):
        assert found == ()
        return
    (service,) = found
    total = sum(member.weight for member in service.members)
    assert {m.endpoint: m.weight / total for m in service.members} == pytest.approx(dict(shares(one)))
    assert all(m.weight >= 1 and m.verdict.lane is Lane.DIRECT for m in service.members)
    told = service.told(7)
    assert (told.id, told.ip, told.port) == (7, *VIP)
    assert len(told.endpoints) == len(service.members)


@pytest.mark.parametrize(
    "one",
    [
        destination(Target(1, cluster(max_connections=5))),
        destination(Target(1, cluster(timeouts=Timeouts(connect_s=1)))),
        destination(Target(1, cluster(timeouts=Timeouts(idle_s=1)))),
        destination(Target(1, cluster(balancing=Balancing.LEAST_REQUEST))),
        destination(Target(1, cluster(endpoints=MOST_DIRECT_ENDPOINTS + 1))),
        destination(Target(1, None, "gone")),
        replace(destination(Target(1, cluster())), protocol=Protocol.HTTP),
        replace(destination(Target(1, cluster())), protocol=Protocol.DETECT),
        replace(destination(Target(1, cluster())), lane=LaneChoice.SPLICE, lane_policy="shop/p"),
    ],
)
def test_what_needs_the_proxy_stays_with_it(one: Destination) -> None:
    assert direct_services(outbound(one), EVERY) == ()
    assert direct_services(outbound(one), Lanes()) == ()


def test_what_the_policy_says_about_connections_goes_down_with_it() -> None:
    one = destination(
        Target(1, cluster(balancing=Balancing.ROUND_ROBIN)),
        affinity_s=30.0,
        rate_limit=RateLimit(2.5, 4),
        denied=NetworkSet(("10.0.0.0/8",), ((4, 24, frozenset({10})),)),
    )
    (service,) = direct_services(outbound(one), EVERY)
    told = service.told(1)
    assert (told.round_robin, told.affinity_s) == (True, 30.0)
    assert (told.rate_per_s, told.burst, told.denied) == (2.5, 4, ("10.0.0.0/8",))


def test_the_original_destination_is_an_endpoint_like_any_other() -> None:
    (service,) = direct_services(outbound(INBOUND), EVERY)
    assert [(m.endpoint, m.weight) for m in service.members] == [(UpstreamAddress(Address(*VIP)), 1)]


def test_a_service_whose_endpoints_are_all_unready_is_one_that_refuses() -> None:
    (service,) = direct_services(outbound(destination(Target(1, cluster(endpoints=0)))), EVERY)
    assert (service.members, service.told(1).endpoints) == ((), ())


def test_a_connection_that_comes_to_the_proxy_is_spliced_and_says_why() -> None:
    one = rulings(outbound(destination(Target(1, cluster()))), EVERY)[Site(Direction.OUTBOUND, *VIP)]
    assert one is not None
    assert one.verdict.lane is Lane.SPLICE
    assert "before the kernel knew" in one.verdict.lane_reason


@pytest.mark.parametrize(
    ("others", "straight"),
    [
        ([], {80}),
        ([(("10.0.0.9", 80), INBOUND)], {80}),
        ([(("10.0.0.9", 81), replace(INBOUND, protocol=Protocol.HTTP))], {80}),
        ([(("10.0.0.9", 80), replace(INBOUND, protocol=Protocol.HTTP))], set()),
        ([(("10.0.0.9", 80), replace(INBOUND, rate_limit=RateLimit(1, 1)))], set()),
    ],
)
def test_a_port_goes_straight_only_if_all_that_is_claimed_there_may(
    others: list[tuple[tuple[str, int], Destination]], straight: set[int]
) -> None:
    policy = Policy(inbound=frozen([(VIP, INBOUND), *others]))
    assert set(straight_ports(policy, EVERY)) == straight
    assert straight_ports(policy, Lanes()) == {}
    assert set(straight_ports(policy, replace(EVERY, announced=frozenset({80})))) == straight - {80}
