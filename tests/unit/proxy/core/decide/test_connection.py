"""Decisions on claimed destinations: shares, retries, affinity, limits; the same for the same circumstances."""

from __future__ import annotations

import math
import random as dice
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.balance.ledger import Ledger
from proxy.core.close_reason import CloseReason
from proxy.core.decide.connection import Circumstances, decide, decide_again
from proxy.core.decide.lane import Lanes
from proxy.core.decide.verdict import NOWHERE, Verdict
from proxy.core.lanes import Direction
from proxy.core.networks import NetworkSet
from proxy.core.policy.policy import NO_POLICY, Balancing, Destination, RateLimit, Rule, Target, Timeouts, shares
from tests.unit.proxy.core.build import CLIENT, VIP, WEB, client, cluster, destination, endpoint, policy


class World:
    """One ledger, a clock that is set by hand, seeded dice."""

    def __init__(self, seed: int = 0) -> None:
        self.ledger = Ledger()
        self.now = 1000.0
        self.dice = dice.Random(seed)

    def at(self) -> Circumstances:
        return Circumstances(self.ledger, self.now, self.dice.random)

    def decide(self, one: Destination, client: ClientAddress = CLIENT) -> Verdict:
        return decide(policy(one), Direction.OUTBOUND, VIP, client, lanes=Lanes(), at=self.at())

    def again(self, verdict: Verdict, *failed: UpstreamAddress) -> Verdict | None:
        return decide_again(verdict, VIP, CLIENT, failed, self.at())


def chi_square(observed: Counter[UpstreamAddress], expected: dict[UpstreamAddress, float]) -> float:
    return sum((observed[key] - wanted) ** 2 / wanted for key, wanted in expected.items() if wanted)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 4)), min_size=1, max_size=4), st.integers(0, 2**32))
@settings(deadline=None, max_examples=25)
def test_weights_are_respected(wanted: list[tuple[int, int]], seed: int) -> None:
    targets = [Target(weight, cluster(count, 10 * n + 1, name=str(n))) for n, (weight, count) in enumerate(wanted)]
    one = destination(*targets)
    world, tries = World(seed), 4000
    seen = Counter(world.decide(one).upstream for _ in range(tries))
    expected = {key: part * tries for key, part in shares(one)}
    if not expected:
        assert seen == {NOWHERE: tries}
        return
    assert set(seen) <= set(expected)
    freedom = len(expected) - 1
    # Wilson and Hilferty's approximation; 6 standard deviations are one false alarm in a thousand million.
    bound = freedom * (1 - 2 / (9 * freedom) + 6 * math.sqrt(2 / (9 * freedom))) ** 3 if freedom else 0
    assert chi_square(seen, expected) <= bound + 1e-9


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(Balancing))
def test_equal_circumstances_give_equal_verdicts(seed: int, balancing: Balancing) -> None:
    one = destination(Target(3, cluster(balancing=balancing)), Target(1, cluster(2, 9, name="b")))
    left, right = World(seed), World(seed)
    assert [left.decide(one) for _ in range(20)] == [right.decide(one) for _ in range(20)]


def test_what_nobody_claims_is_passed_through() -> None:
    world = World()
    for who, where in ((NO_POLICY, VIP), (policy(destination()), OriginalDestination(Address("10.0.0.1", 81)))):
        verdict = decide(who, Direction.OUTBOUND, where, CLIENT, lanes=Lanes(), at=world.at())
        assert (verdict.upstream, verdict.cluster, verdict.service) == (where, "PassthroughCluster", None)
    inbound = decide(policy(destination()), Direction.INBOUND, VIP, CLIENT, lanes=Lanes(), at=world.at())
    assert inbound.cluster == "InboundPassthroughCluster"


def test_round_robin_goes_round() -> None:
    world, one = World(), destination(Target(1, cluster(3, balancing=Balancing.ROUND_ROBIN)))
    seen = [world.decide(one).upstream for _ in range(9)]
    assert Counter(seen) == dict.fromkeys((endpoint(n) for n in (1, 2, 3)), 3)
    assert seen[:3] == seen[3:6] == seen[6:]


@pytest.mark.parametrize("count", [3, 200])
def test_least_request_goes_where_least_is_open(count: int) -> None:
    world, one = World(), destination(Target(1, cluster(count, balancing=Balancing.LEAST_REQUEST)))
    for _ in range(count * 10):
        verdict = world.decide(one)
        world.ledger.loads.taken("web", verdict.upstream)
    loads = [world.ledger.loads.load("web", endpoint(1 + n)).active for n in range(count)]
    assert sum(loads) == count * 10
    assert max(loads) - min(loads) <= (1 if count == 3 else 8)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([Balancing.RANDOM, Balancing.ROUND_ROBIN, Balancing.LEAST_REQUEST]))
def test_a_retry_never_goes_where_it_failed_and_ends(seed: int, balancing: Balancing) -> None:
    one = destination(
        Target(5, cluster(2, 1, balancing=balancing)), Target(1, cluster(2, 9, name="b")), Target(9, None, "gone")
    )
    world = World(seed)
    found: Verdict | None = world.decide(one)
    assert found is not None
    if found.refusal is not None:
        assert (found.refusal, found.upstream) == (CloseReason.UNRESOLVED_BACKEND, NOWHERE)
        return
    failed: list[UpstreamAddress] = []
    while found is not None:
        assert found.upstream not in failed
        failed.append(found.upstream)
        found = world.again(found, *failed)
    assert sorted(failed) == sorted(endpoint(n) for n in (1, 2, 9, 10))


def test_passed_through_connections_are_not_tried_elsewhere() -> None:
    world = World()
    passing = replace(cluster(0), balancing=Balancing.PASSTHROUGH)
    verdict = world.decide(destination(Target(1, passing)))
    assert verdict.upstream == VIP
    assert world.again(verdict, UpstreamAddress(VIP)) is None


def test_affinity_holds_is_renewed_by_use_and_ends() -> None:
    one = destination(Target(1, replace(cluster(50), affinity_s=100.0)))
    world = World()
    first = {n: world.decide(one, client(n)).upstream for n in range(50)}
    assert len(set(first.values())) > 10
    for _ in range(3):
        world.now += 99.0
        assert {n: world.decide(one, client(n)).upstream for n in range(50)} == first
    world.now += 100.0
    assert {n: world.decide(one, client(n)).upstream for n in range(50)} != first


def test_affinity_of_the_destination_holds_across_a_split() -> None:
    one = replace(destination(Target(1, cluster(5)), Target(1, cluster(5, 20, name="b"))), affinity_s=100.0)
    world = World()
    first = {n: world.decide(one, client(n)).upstream for n in range(40)}
    assert {n: world.decide(one, client(n)).upstream for n in range(40)} == first
    assert len({verdict.ip for verdict in first.values()}) > 4
    only = replace(one, rules=(Rule((Target(1, cluster(5)), Target(0, cluster(5, 20, name="b")))),))
    assert all(world.decide(only, client(n)).chosen == cluster(5) for n in range(40))


def test_affinity_lets_go_of_endpoints_that_fail_or_leave() -> None:
    one = destination(Target(1, replace(cluster(3), affinity_s=100.0)))
    world = World()
    first = world.decide(one)
    other = world.again(first, first.upstream)
    assert other is not None
    assert other.upstream != first.upstream
    assert world.decide(one).upstream == other.upstream
    left = tuple(one_ for one_ in cluster(3).endpoints if one_ != other.upstream)
    fewer = destination(Target(1, replace(cluster(3), affinity_s=100.0, endpoints=left)))
    assert world.decide(fewer).upstream in left


def test_refusals_and_their_order() -> None:
    world = World()
    from ipaddress import ip_network

    one = destination(Target(1, cluster(0)))
    assert world.decide(one).refusal is CloseReason.NO_ENDPOINTS
    assert world.decide(destination(Target(0, cluster()))).refusal is CloseReason.UNRESOLVED_BACKEND
    limited = replace(one, rate_limit=RateLimit(1.0, 1))
    assert [world.decide(limited).refusal for _ in range(2)] == [CloseReason.NO_ENDPOINTS, CloseReason.RATE_LIMITED]
    denied = replace(limited, denied=NetworkSet.of([ip_network("10.2.0.0/16")]))
    verdict = world.decide(denied)
    assert (verdict.refusal, verdict.upstream, verdict.service) == (CloseReason.DENIED_SOURCE, NOWHERE, WEB)


def test_the_limit_of_connections_counts_what_is_open() -> None:
    one = destination(Target(1, replace(cluster(2), max_connections=2, timeouts=Timeouts(1.0, 2.0, 3.0))))
    world = World()
    open_ = [world.decide(one) for _ in range(2)]
    for verdict in open_:
        assert verdict.timeouts == Timeouts(1.0, 2.0, 3.0)
        world.ledger.loads.taken("web", verdict.upstream)
    assert world.decide(one).refusal is CloseReason.MAX_CONNECTIONS
    world.ledger.loads.released("web", open_[0].upstream)
    assert world.decide(one).refusal is None
