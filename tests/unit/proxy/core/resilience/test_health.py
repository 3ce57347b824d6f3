"""Health is one value, and all that choose endpoints make the same of it."""

from __future__ import annotations

import random as dice
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.addresses import UpstreamAddress
from proxy.core.balance.ledger import Ledger
from proxy.core.balance.weights import MAX_WEIGHT, parts
from proxy.core.decide.connection import Circumstances, decide, decide_again
from proxy.core.decide.lane import Lanes
from proxy.core.lanes import Direction, Lane, LaneChoice
from proxy.core.lower.to_engine import Site, rulings
from proxy.core.lower.to_kernel import direct_services
from proxy.core.policy.policy import Balancing, Destination, Target
from proxy.core.resilience.health import HEALTHY, Fitness, Health, health, usable
from tests.unit.proxy.core.build import CLIENT, VIP, cluster, destination, endpoint, policy

EJECTED = Fitness(0, "5 connections in a row failed")
BOTH = Lanes(LaneChoice.AUTO, frozenset({Lane.DIRECT, Lane.SPLICE}))
percents = st.sampled_from([0, 0, 1, 50, 99, 100])
split = st.lists(st.tuples(st.integers(1, 5), st.lists(percents, min_size=1, max_size=5)), min_size=1, max_size=3)


def impaired(sizes: list[tuple[int, list[int]]], balancing: Balancing) -> tuple[Destination, Health]:
    """A destination with a target for each item (its weight, and how fit each of its endpoints is)."""
    targets, found = [], []
    for number, (weight, fit) in enumerate(sizes):
        name, first = f"c{number}", 1 + 10 * number
        targets.append(Target(weight, cluster(len(fit), first, name=name, balancing=balancing)))
        found += [(name, endpoint(first + n), Fitness(p, "slow")) for n, p in enumerate(fit) if p < 100]
    return destination(*targets), health(found)


def wanted(sizes: list[tuple[int, list[int]]]) -> dict[UpstreamAddress, Fraction]:
    """By the words of the rule: by fitness within a target; by number where all of a target's endpoints are out."""
    whole = sum(weight for weight, _ in sizes)
    shares = {}
    for number, (weight, fit) in enumerate(sizes):
        each = fit if any(fit) else [100] * len(fit)
        for n, percent in enumerate(each):
            if percent:
                shares[endpoint(1 + 10 * number + n)] = Fraction(weight, whole) * Fraction(percent, sum(each))
    return shares


@settings(deadline=None)
@given(split, st.sampled_from([Balancing.RANDOM, Balancing.ROUND_ROBIN]))
def test_engine_and_kernel_give_each_endpoint_the_same_part(
    sizes: list[tuple[int, list[int]]], balancing: Balancing
) -> None:
    one, state = impaired(sizes, balancing)
    ruling = rulings(policy(one), BOTH, state)[Site(Direction.OUTBOUND, VIP.ip, VIP.port)]
    (service,) = direct_services(policy(one), BOTH, state)
    assert ruling is not None
    engine = {share.verdict.upstream: share.weight for share in ruling.shares}
    assert engine == {member.endpoint: member.weight for member in service.members}
    total = sum(engine.values())
    assert {key: Fraction(weight, total) for key, weight in engine.items()} == wanted(sizes)


@settings(deadline=None, max_examples=50)
@given(split, st.sampled_from([Balancing.RANDOM, Balancing.ROUND_ROBIN, Balancing.LEAST_REQUEST]), st.integers(0, 99))
def test_what_is_decided_here_goes_to_the_same_endpoints_and_so_do_retries(
    sizes: list[tuple[int, list[int]]], balancing: Balancing, seed: int
) -> None:
    one, state = impaired(sizes, balancing)
    ledger, random = Ledger(), dice.Random(seed)
    at = Circumstances(ledger, 0.0, random.random, state)
    found = decide(policy(one), Direction.OUTBOUND, VIP, CLIENT, lanes=Lanes(), at=at)
    tried = []
    again = found if found.refusal is None else None
    while again is not None:
        tried.append(again.upstream)
        again = decide_again(found, VIP, CLIENT, tried, at)
    assert sorted(tried) == sorted(wanted(sizes))


@settings(deadline=None, max_examples=20)
@given(st.lists(percents, min_size=1, max_size=4), st.integers(0, 2**32))
def test_in_turn_the_part_is_exact(fit: list[int], seed: int) -> None:
    one, state = impaired([(1, fit)], Balancing.ROUND_ROBIN)
    at = Circumstances(Ledger(), 0.0, dice.Random(seed).random, state)
    rounds = sum(fit) or len(fit)
    seen = Counter(
        decide(policy(one), Direction.OUTBOUND, VIP, CLIENT, lanes=Lanes(), at=at).upstream for _ in range(rounds)
    )
    assert {key: Fraction(count, rounds) for key, count in seen.items()} == wanted([(1, fit)])


def test_when_all_are_out_all_are_used_and_none_is_invented() -> None:
    three = cluster(3)
    out = health((three.name, one, EJECTED) for one in three.endpoints)
    assert [one.percent for one in usable(three, out)] == [100, 100, 100]
    assert usable(cluster(0), out) == []
    two = health((three.name, one, EJECTED) for one in three.endpoints[:2])
    assert [one.endpoint for one in usable(three, two)] == [three.endpoints[2]]


def test_an_affine_client_leaves_an_ejected_endpoint() -> None:
    from dataclasses import replace

    one = destination(Target(1, replace(cluster(2), affinity_s=100.0)))
    ledger = Ledger()
    at = Circumstances(ledger, 0.0, dice.Random(1).random)
    first = decide(policy(one), Direction.OUTBOUND, VIP, CLIENT, lanes=Lanes(), at=at).upstream
    at = replace(at, health=health([("web", first, EJECTED)]))
    assert decide(policy(one), Direction.OUTBOUND, VIP, CLIENT, lanes=Lanes(), at=at).upstream != first


def test_clusters_whose_health_differs_are_named() -> None:
    one = health([("a", endpoint(1), EJECTED), ("b", endpoint(2), EJECTED)])
    other = health([("a", endpoint(1), EJECTED), ("b", endpoint(2), Fitness(50, "slow")), ("c", endpoint(3), EJECTED)])
    assert one.differing(other) == other.differing(one) == {"b", "c"}
    assert one.differing(one) == HEALTHY.differing(Health()) == frozenset()


@pytest.mark.parametrize("percent", [-1, 100, 150])
def test_an_impaired_endpoint_has_a_part_of_its_weight(percent: int) -> None:
    with pytest.raises(ValueError, match="0 to 99 percent"):
        Fitness(percent, "")


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 60)), min_size=1, max_size=8))
def test_weights_fit_into_32_bits_and_keep_their_proportions(sizes: list[tuple[int, int]]) -> None:
    targets = [Target(weight, cluster(count, 1 + 100 * n, name=str(n))) for n, (weight, count) in enumerate(sizes)]
    found = parts(targets, HEALTHY)
    total, whole = sum(part.weight for part in found), sum(weight for weight, _ in sizes)
    assert total <= MAX_WEIGHT
    assert min(part.weight for part in found) >= 1
    for part in found:
        weight, count = sizes[int(part.cluster.name)]
        assert part.weight / total == pytest.approx(weight / whole / count, rel=1e-3, abs=1e-6)
