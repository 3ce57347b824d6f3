"""Policies published one after the other by difference leave what publishing the last one whole would."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.decide.lane import Lanes
from proxy.core.lanes import Direction, Lane, LaneChoice
from proxy.core.lower import lowering
from proxy.core.lower.lowering import Lowering, Publication
from proxy.core.lower.to_engine import Ruling, Site, rulings
from proxy.core.lower.to_kernel import BalancedService, direct_services, straight_ports
from proxy.core.policy.policy import (
    NO_POLICY,
    Balancing,
    Destination,
    Key,
    Policy,
    Protocol,
    RateLimit,
    Target,
    frozen,
)
from proxy.core.resilience.health import HEALTHY, Fitness, Health, health
from tests.unit.proxy.core.build import cluster, destination, endpoint

SPLICE, BOTH = (Lanes(LaneChoice.AUTO, lanes) for lanes in (frozenset({Lane.SPLICE}), frozenset(Lane)))
SIZES = st.integers(0, 3)


def outbound(number: int, size: int, kind: str) -> Destination:
    one = destination(Target(1, cluster(size, 10 * number, name=f"c{number}")))
    kinds = {"http": {"protocol": Protocol.HTTP}, "limited": {"rate_limit": RateLimit(1, 1)}}
    return replace(one, **kinds.get(kind, {}))


def inbound(kind: str) -> Destination:
    passing = replace(cluster(0), balancing=Balancing.PASSTHROUGH)
    one = destination(Target(1, passing))
    return replace(one, protocol=Protocol.HTTP) if kind == "http" else one


kinds = st.sampled_from(["tcp", "http", "limited"])
services = st.dictionaries(st.integers(1, 5), st.tuples(SIZES, kinds), max_size=5)
arrivals = st.dictionaries(st.tuples(st.sampled_from(["10.2.0.1", "10.2.0.2"]), st.integers(80, 82)), kinds, max_size=4)
policies = st.builds(
    lambda out, arriving: Policy(
        frozen([((f"10.0.0.{number}", 80), outbound(number, *one)) for number, one in out.items()]),
        frozen([(key, inbound(kind)) for key, kind in arriving.items()]),
        tuple(cluster(size, 10 * number, name=f"c{number}") for number, (size, _) in out.items()),
    ),
    services,
    arrivals,
)
healths = st.dictionaries(st.tuples(st.integers(1, 5), st.integers(0, 2)), st.sampled_from([0, 50]), max_size=4).map(
    lambda found: health((f"c{n}", endpoint(10 * n + at), Fitness(p, "slow")) for (n, at), p in found.items())
)
steps = st.lists(st.tuples(policies, st.sampled_from([SPLICE, BOTH]), healths), min_size=1, max_size=6)


class World:
    """What the lanes have, by the publications that they were told."""

    def __init__(self) -> None:
        self.rulings: dict[Site, Ruling | None] = {}
        self.services: dict[Key, BalancedService] = {}

    def take(self, told: Publication) -> None:
        assert not told.sites_gone & told.rulings.keys()
        assert told.sites_gone <= self.rulings.keys() | {Site(d, *k) for d, k in _both(told)}
        assert told.services_gone <= self.services.keys()
        self.rulings = {k: v for k, v in self.rulings.items() if k not in told.sites_gone} | told.rulings
        self.services = {k: v for k, v in self.services.items() if k not in told.services_gone} | told.services


def _both(told: Publication) -> list[tuple[Direction, Key]]:
    changed = [(Direction.OUTBOUND, key) for key in told.difference.outbound]
    return changed + [(Direction.INBOUND, key) for key in told.difference.inbound]


def check(world: World, told: Publication, policy: Policy, lanes: Lanes, state: Health) -> None:
    straight = straight_ports(policy, lanes)
    whole = replace(lanes, straight=frozenset(straight))
    assert told.straight.keys() == straight.keys()
    assert told.lanes == whole
    assert world.rulings == rulings(policy, whole, state)
    assert world.services == {(one.ip, one.port): one for one in direct_services(policy, whole, state)}


@settings(deadline=None)
@given(steps)
def test_what_is_told_by_difference_is_the_whole_in_the_end(steps: list[tuple[Policy, Lanes, Health]]) -> None:
    made, world = Lowering(), World()
    for policy, lanes, state in steps:
        told = made.exchange(policy, lanes, state)
        world.take(told)
        check(world, told, policy, lanes, state)


def test_only_what_differs_is_told() -> None:
    made, world = Lowering(), World()
    many = {(f"10.0.0.{n}", 80): outbound(n, 2, "tcp") for n in range(1, 20)}
    one = Policy(frozen(many.items()))
    world.take(made.exchange(one, BOTH, HEALTHY))
    other = Policy(frozen((many | {("10.0.0.7", 80): outbound(7, 3, "tcp")}).items()))
    told = made.exchange(other, BOTH, HEALTHY)
    assert set(told.rulings) == {Site(Direction.OUTBOUND, "10.0.0.7", 80)}
    assert set(told.services) == {("10.0.0.7", 80)}
    ejected = health([("c3", endpoint(30), Fitness(0, "refuses"))])
    told = made.exchange(other, BOTH, ejected)
    assert set(told.services) == {("10.0.0.3", 80)}
    assert len(told.services["10.0.0.3", 80].members) == 1
    told = made.exchange(other, BOTH, ejected)
    assert not any((told.rulings, told.services, told.sites_gone, told.services_gone))


@pytest.mark.parametrize("defect", ["ruling", "balanced_service"])
def test_a_defect_in_compiling_leaves_what_was_and_the_next_policy_is_taken_whole(
    defect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, world = Lowering(), World()
    first = Policy(frozen([(("10.0.0.1", 80), outbound(1, 2, "tcp"))]), frozen([(("10.2.0.1", 80), inbound("tcp"))]))
    bad = Policy(frozen([(("10.0.0.2", 80), outbound(2, 2, "tcp"))]), frozen([(("10.2.0.1", 81), inbound("http"))]))
    world.take(made.exchange(first, BOTH, HEALTHY))

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(lowering, defect, broken)
        with pytest.raises(ZeroDivisionError):
            made.exchange(bad, BOTH, HEALTHY)
    for policy in (bad, first, NO_POLICY):
        told = made.exchange(policy, BOTH, HEALTHY)
        world.take(told)
        check(world, told, policy, BOTH, HEALTHY)
