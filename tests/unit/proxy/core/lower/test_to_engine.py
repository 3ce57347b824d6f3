"""What the engine may decide by itself agrees with what would be decided one by one."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import Address, OriginalDestination, UpstreamAddress
from proxy.core.balance.weights import MAX_WEIGHT
from proxy.core.decide.lane import Lanes
from proxy.core.decide.verdict import PASSTHROUGH
from proxy.core.lanes import Direction
from proxy.core.lower.to_engine import Ruling, Site, Spread, obstacle, rulings
from proxy.core.networks import NetworkSet
from proxy.core.policy.policy import (
    Balancing,
    Cluster,
    Destination,
    Policy,
    Protocol,
    RateLimit,
    Rule,
    ServiceName,
    Target,
    Timeouts,
    frozen,
    shares,
)
from proxy.core.policy.upstream import ConsistentHash, UpstreamSettings

NAME = ServiceName("default", "web")
VIP = ("10.96.0.1", 80)
LANES = Lanes()


def cluster(name: str = "a", endpoints: int = 2, **more: object) -> Cluster:
    first = sum(map(ord, name)) * 100
    places = tuple(UpstreamAddress(Address("10.0.0.1", first + n)) for n in range(endpoints))
    return Cluster(name, NAME, 80, places, **more)  # type: ignore[arg-type]


def destination(*targets: Target, **more: object) -> Destination:
    return Destination("web:80", NAME, 80, Protocol.TCP, "a test", (Rule(targets),), **more)  # type: ignore[arg-type]


def ruling(one: Destination) -> Ruling | None:
    return rulings(Policy(outbound=frozen([(VIP, one)])), LANES)[Site(Direction.OUTBOUND, *VIP)]


splits = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 7)), min_size=1, max_size=5).map(
    lambda parts: destination(*(Target(weight, cluster("abcde"[n], size)) for n, (weight, size) in enumerate(parts)))
)


@given(splits)
def test_every_endpoint_has_the_share_that_the_policy_gives_it(one: Destination) -> None:
    found = ruling(one)
    wanted = dict(shares(one))
    if not any(target.weight for target in one.targets):
        assert found is None
        return
    assert found is not None
    total = sum(share.weight for share in found.shares)
    assert {s.verdict.upstream: float(Fraction(s.weight, total)) for s in found.shares} == pytest.approx(wanted)
    assert total <= MAX_WEIGHT
    for share in found.shares:
        owner = next(t.cluster for t in one.targets if t.cluster and share.verdict.upstream in t.cluster.endpoints)
        assert share.verdict.cluster == owner.name


def test_what_nobody_claims_passes_in_both_directions() -> None:
    found = rulings(Policy(), LANES)
    assert set(found) == {Site(direction) for direction in Direction}
    for direction in Direction:
        passing = found[Site(direction)]
        assert passing is not None
        assert (passing.shares, passing.verdict.cluster) == ((), PASSTHROUGH[direction])


def test_an_inbound_claim_is_passed_on_under_its_own_name() -> None:
    arrived = destination(Target(1, cluster(endpoints=0, balancing=Balancing.PASSTHROUGH)))
    found = rulings(Policy(inbound=frozen([(VIP, arrived)])), LANES)[Site(Direction.INBOUND, *VIP)]
    assert found is not None
    assert (found.shares, found.verdict.cluster) == ((), "a")


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (destination(Target(1, cluster()), rate_limit=RateLimit(1, 1)), "rate limit"),
        (destination(Target(1, cluster(affinity_s=10.0)), Target(1, cluster("b"))), "affinity"),
        (destination(Target(1, cluster(max_connections=5))), "maxConnections"),
        (destination(Target(1, cluster(balancing=Balancing.LEAST_REQUEST)), Target(1, cluster("b"))), "LEAST_REQUEST"),
        (destination(Target(1, None, "gone")), "unresolved"),
        (destination(Target(1, cluster(endpoints=0))), "without endpoints"),
        (destination(Target(0, cluster())), "nothing"),
        (destination(Target(1, cluster()), Target(1, cluster("b", timeouts=Timeouts(idle_s=1)))), "timeouts"),
        (destination(*(Target(p, cluster(n, p)) for n, p in zip("abcdef", (97, 89, 83, 79, 73, 71), strict=True))), ""),
    ],
)
def test_what_needs_more_than_the_destination_is_decided_one_by_one(one: Destination, why: str) -> None:
    told = obstacle(one)
    if not why:
        assert told is None
        return
    assert told is not None
    assert why in told
    assert ruling(one) is None


def test_in_turn_only_where_every_backend_asks_for_it() -> None:
    turns = cluster(balancing=Balancing.ROUND_ROBIN)
    assert [getattr(ruling(destination(*targets)), "spread", None) for targets in (
        (Target(1, turns),), (Target(1, turns), Target(1, cluster("b"))),
    )] == [Spread.ROUND_ROBIN, Spread.RANDOM]  # fmt: skip


def test_what_the_engine_remembers_of_clients() -> None:
    own, backend = cluster(affinity_s=5.0), cluster("b")
    assert of(destination(Target(1, own))).affinity == ("a", 5.0)
    assert of(destination(Target(1, own), Target(1, backend), affinity_s=9.0)).affinity == ("web:80", 9.0)
    assert of(destination(Target(1, backend))).affinity is None


def test_denied_networks_are_told_to_the_engine() -> None:
    denied = NetworkSet(("10.0.0.0/8",), ((4, 24, frozenset({10})),))
    assert of(destination(Target(1, cluster()), denied=denied)).denied == ("10.0.0.0/8",)
    passing = cluster(endpoints=0, balancing=Balancing.PASSTHROUGH)
    assert of(destination(Target(1, passing), denied=denied)).denied == ("10.0.0.0/8",)


def test_one_backend_is_spread_as_its_policy_says() -> None:
    by_source = UpstreamSettings(hash=ConsistentHash(source_ip=True))
    assert of(destination(Target(1, cluster(balancing=Balancing.LEAST_REQUEST)))).spread is Spread.LEAST
    assert of(destination(Target(1, cluster(settings=by_source)))).spread is Spread.BY_SOURCE
    assert of(destination(Target(1, cluster(settings=by_source)), Target(1, cluster("b")))).spread is Spread.RANDOM


def of(one: Destination) -> Ruling:
    found = ruling(one)
    assert found is not None
    return found


def test_a_site_of_nobodys_is_not_confused_with_a_destination() -> None:
    assert Site(Direction.OUTBOUND) != Site(Direction.OUTBOUND, OriginalDestination(Address("10.0.0.1", 80)).ip, 80)
