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
from proxy.core.balance.ledger import MAX_CLIENTS, Ledger
from proxy.core.close_reason import CloseReason
from proxy.core.decide.connection import Circumstances, Lanes, decide, decide_again
from proxy.core.decide.lane import choose_lane
from proxy.core.decide.verdict import NOWHERE, Verdict
from proxy.core.lanes import Direction, Lane, LaneChoice
from proxy.core.networks import NetworkSet
from proxy.core.policy.policy import (
    NO_POLICY,
    Balancing,
    Cluster,
    Destination,
    Policy,
    Protocol,
    RateLimit,
    ServiceName,
    Target,
    Timeouts,
    frozen,
    shares,
)

WEB = ServiceName("shop", "web")
VIP = OriginalDestination(Address("10.0.0.1", 80))
CLIENT = ClientAddress(Address("10.2.0.1", 40000))


def endpoint(number: int) -> UpstreamAddress:
    return UpstreamAddress(Address(f"10.1.{number // 256}.{number % 256}", 8080))


def cluster(count: int = 3, first: int = 1, *, name: str = "web", balancing: Balancing = Balancing.RANDOM) -> Cluster:
    return Cluster(name, WEB, 80, tuple(endpoint(first + n) for n in range(count)), balancing)


def destination(*targets: Target) -> Destination:
    given_targets = targets or (Target(1, cluster()),)
    return Destination("to-web", WEB, 80, Protocol.TCP, "port name tcp", given_targets)


def policy(one: Destination) -> Policy:
    clusters = tuple(target.cluster for target in one.targets if target.cluster is not None)
    return Policy(frozen([((VIP.ip, VIP.port), one)]), clusters=clusters)


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


def client(number: int) -> ClientAddress:
    return ClientAddress(Address(f"10.2.{number // 256}.{number % 256}", 40000))


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
        world.ledger.taken("web", verdict.upstream)
    loads = [world.ledger.load("web", endpoint(1 + n)).active for n in range(count)]
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
    only = replace(one, targets=(Target(1, cluster(5)), Target(0, cluster(5, 20, name="b"))))
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


def test_clients_remembered_are_bounded() -> None:
    ledger = Ledger()
    for number in range(MAX_CLIENTS + 10):
        ledger.remember("x", str(number), endpoint(1), 10.0)
    assert ledger.remembered("x", "9", 0.0) is None
    assert ledger.remembered("x", "10", 0.0) == endpoint(1)


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
        world.ledger.taken("web", verdict.upstream)
    assert world.decide(one).refusal is CloseReason.MAX_CONNECTIONS
    world.ledger.released("web", open_[0].upstream)
    assert world.decide(one).refusal is None


@given(st.integers(1, 20), st.floats(0.1, 100.0), st.lists(st.floats(0.0, 5.0), max_size=200))
def test_a_rate_limit_lets_through_no_more_than_it_says(burst: int, per_s: float, pauses: list[float]) -> None:
    ledger, limit, now, admitted = Ledger(), RateLimit(per_s, burst), 100.0, 0
    for pause in pauses:
        now += pause
        admitted += ledger.admits("x", limit, now)
        assert admitted <= burst + (now - 100.0) * per_s + 1e-6
    assert admitted >= min(burst, len(pauses))


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_the_ledger_forgets_what_is_over(steps: list[tuple[int, bool]]) -> None:
    ledger, open_ = Ledger(), Counter[int]()
    for number, take in steps:
        if take:
            ledger.taken("web", endpoint(number))
            open_[number] += 1
        elif open_[number]:
            ledger.released("web", endpoint(number))
            open_[number] -= 1
    assert ledger.active("web") == sum(open_.values())
    ledger.keep(NO_POLICY)
    assert {number: ledger.load("web", endpoint(number)).active for number in range(4)} == {
        number: open_[number] for number in range(4)
    }


networks = st.builds(
    lambda value, length: (value >> (32 - length) << (32 - length), length),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(st.lists(networks, max_size=10), st.lists(networks, max_size=3), st.integers(0, 2**32 - 1))
def test_membership_is_what_ipaddress_says(
    some: list[tuple[int, int]], more: list[tuple[int, int]], value: int
) -> None:
    from ipaddress import IPv4Address, IPv4Network

    given_networks = [IPv4Network(one) for one in some + more]
    found = NetworkSet.of(IPv4Network(one) for one in some) | NetworkSet.of(IPv4Network(one) for one in more)
    address = IPv4Address(value)
    assert (str(address) in found) is any(address in network for network in given_networks)
    assert "fd00::1" not in found


L4, L7 = destination(), replace(destination(), protocol=Protocol.HTTP, protocol_reason="appProtocol http")
EVERY = frozenset(Lane)


@pytest.mark.parametrize(
    ("one", "forced", "available", "lane", "parts"),
    [
        (L4, LaneChoice.AUTO, EVERY, Lane.DIRECT, ["L4 policy only"]),
        (L4, LaneChoice.AUTO, frozenset({Lane.SPLICE}), Lane.SPLICE, ["L4 policy only", "eBPF"]),
        (L7, LaneChoice.AUTO, EVERY, Lane.PARSED, ["appProtocol http"]),
        (L7, LaneChoice.AUTO, frozenset({Lane.SPLICE}), Lane.SPLICE, ["protocol http", "not parsed"]),
        (replace(L7, route="TCPRoute shop/x"), LaneChoice.AUTO, EVERY, Lane.DIRECT, ["TCPRoute shop/x"]),
        (replace(L4, l7_routes=("HTTPRoute shop/h",)), LaneChoice.AUTO, EVERY, Lane.PARSED, ["HTTPRoute shop/h"]),
        (L4, LaneChoice.SPLICE, EVERY, Lane.SPLICE, ["forced by --lane"]),
        (L7, LaneChoice.DIRECT, EVERY, Lane.PARSED, ["--lane asks for direct", "sees no protocol"]),
        (replace(L4, lane=LaneChoice.PARSED, lane_policy="shop/p"), LaneChoice.SPLICE, EVERY, Lane.PARSED, ["shop/p"]),
        (replace(L4, lane=LaneChoice.DIRECT, lane_policy="shop/p"), LaneChoice.AUTO, frozenset({Lane.SPLICE}),
         Lane.SPLICE, ["TrafficPolicy shop/p asks for direct", "eBPF"]),
        (destination(Target(1, cluster(balancing=Balancing.LEAST_REQUEST))), LaneChoice.AUTO, EVERY, Lane.SPLICE,
         ["LEAST_REQUEST"]),
        (destination(Target(1, None, "gone")), LaneChoice.AUTO, EVERY, Lane.SPLICE, ["resolved"]),
        (destination(Target(1, cluster()), Target(1, replace(cluster(name="b"), affinity_s=5.0))), LaneChoice.AUTO,
         EVERY, Lane.SPLICE, ["remembered by the proxy"]),
        (destination(Target(1, replace(cluster(), max_connections=1))), LaneChoice.AUTO, EVERY, Lane.SPLICE,
         ["maxConnections"]),
        (destination(Target(1, replace(cluster(), timeouts=Timeouts(idle_s=1)))), LaneChoice.AUTO, EVERY, Lane.SPLICE,
         ["idle"]),
    ],
)  # fmt: skip
def test_the_ladder(
    one: Destination, forced: LaneChoice, available: frozenset[Lane], lane: Lane, parts: list[str]
) -> None:
    found, reason = choose_lane(one, forced, available)
    assert found is lane
    assert all(part in reason for part in parts), reason
