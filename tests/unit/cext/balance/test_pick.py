"""The engine's picks are those of proxy/core/balance, number for number."""

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.balance import least_request
from proxy.core.balance.ewma import PeakEwma
from proxy.core.balance.excluded import Excluded
from proxy.core.balance.maglev import maglev
from proxy.core.balance.pick import AT_RANDOM, Full, Method, by_hash, of_two, pick
from proxy.core.balance.ring import ring
from proxy.core.dice import Dice, hash_of
from tests.unit.cext.balance.chooser import FULL, NONE, Chooser

EWMA, LEAST, IN_TURN, RANDOM = range(4)
WEIGHTS = st.lists(st.integers(0, 5), min_size=1, max_size=8)
SEEDS = st.integers(0, 2**64 - 1)
EVENT = st.tuples(st.sampled_from("bbaef"), st.integers(0, 7), st.integers(0, 10**6), st.integers(0, 3 * 10**6))
EVENTS = st.lists(EVENT, max_size=30)


class Mirror:
    """What Python knows of the endpoints of a chooser, told the same."""

    def __init__(self, weights: list[int], limit: int = 0) -> None:
        self.weights = weights
        self.limit = limit
        self.outstanding = [0] * len(weights)
        self.estimates = [PeakEwma()] * len(weights)

    def admits(self, index: int) -> bool:
        return bool(self.weights[index]) and (not self.limit or self.outstanding[index] < self.limit)

    def weight(self, index: int) -> float:
        return self.weights[index] / max(self.weights)

    def ewma(self, now: int) -> Method:
        return of_two(lambda one: self.estimates[one].score(self.outstanding[one], self.weight(one), now))

    def least(self) -> Method:
        return of_two(lambda one: least_request.score(self.outstanding[one], self.weight(one)))

    def pick(self, method: Method, seed: int, tried: list[int]) -> int:
        found = pick(self.weights, self.admits, method, tried=tried, dice=Dice(seed))
        return NONE if found is None else FULL if isinstance(found, Full) else found


def happen(chooser: Chooser, mirror: Mirror, events: list[tuple[str, int, int, int]]) -> int:
    """The same to both; returns the time."""
    now = 1
    for what, number, latency, later in events:
        index, now = number % len(mirror.weights), now + later
        if what == "b":
            chooser.began(index)
            mirror.outstanding[index] += 1
        elif what == "a":
            chooser.answered(index, latency, now=now)
            mirror.estimates[index] = mirror.estimates[index].observed(latency, now)
        elif what == "e":
            chooser.answered(index, latency, now=now, status=500)
            mirror.estimates[index] = mirror.estimates[index].answered_with_error(latency, now)
        elif mirror.outstanding[index]:
            chooser.ended(index, 3, elapsed=latency, now=now)
            mirror.outstanding[index] -= 1
            mirror.estimates[index] = mirror.estimates[index].failed(latency, now)
    return now


@settings(max_examples=300, deadline=None)
@given(WEIGHTS, EVENTS, st.lists(SEEDS, min_size=1, max_size=20), st.lists(st.integers(0, 7), max_size=4),
       st.integers(0, 3))  # fmt: skip
def test_ewma_least_request_and_random(
    weights: list[int], events: list[tuple[str, int, int, int]], seeds: list[int], tried: list[int], limit: int
) -> None:
    tried = [one % len(weights) for one in tried]
    for choose in (EWMA, LEAST, RANDOM):
        chooser, mirror = Chooser(), Mirror(weights, limit)
        chooser.set(weights, choose, endpoint_requests=limit)
        now = happen(chooser, mirror, events)
        method = {EWMA: mirror.ewma(now), LEAST: mirror.least(), RANDOM: AT_RANDOM}[choose]
        for seed in seeds:
            assert chooser.pick(seed, now=now, tried=tried) == mirror.pick(method, seed, tried)


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.lists(SEEDS, min_size=1, max_size=20), st.lists(st.integers(0, 7), max_size=4), st.booleans())
def test_hashed(weights: list[int], keys: list[int], tried: list[int], on_ring: bool) -> None:
    names = [b"10.0.0.%d:80" % index for index in range(len(weights))]
    table = ring(names, weights, 64) if on_ring else maglev(names, weights, 251)
    tried = [one % len(weights) for one in tried]
    chooser, mirror = Chooser(), Mirror(weights)
    chooser.set(weights, EWMA, places=table.places, points=table.points)
    for key in keys:
        assert chooser.pick(7, key=key, tried=tried) == mirror.pick(by_hash(table, key), 7, tried)


@given(st.binary(max_size=40))
def test_the_hash_of_a_key(key: bytes) -> None:
    chooser = Chooser()
    assert chooser.lib.bench_hash(key, len(key)) == hash_of(key)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any))
def test_in_a_round_each_turn_comes_as_often_as_its_weight_says(weights: list[int]) -> None:
    chooser = Chooser()
    chooser.set(weights, IN_TURN)
    for _ in range(2):
        turns = [chooser.pick(0) for _ in range(sum(weights))]
        assert [turns.count(index) for index in range(len(weights))] == weights


def test_turns_pass_over_what_was_tried_and_what_is_full() -> None:
    chooser = Chooser()
    chooser.set([1, 1, 1], IN_TURN, endpoint_requests=1)
    chooser.began(0)
    assert {chooser.pick(0, tried=[1]) for _ in range(9)} == {2}
    chooser.began(2)
    assert {chooser.pick(0, tried=[1]) for _ in range(9)} == {1}
    chooser.began(1)
    assert chooser.pick(0) == FULL


def test_nothing_to_pick() -> None:
    chooser = Chooser()
    chooser.set([])
    assert chooser.pick(0) == NONE
    chooser.set([0, 0])
    assert chooser.pick(0) == NONE


def test_one_on_trial_is_preferred_and_gets_one_request_at_a_time() -> None:
    for choose in range(4):
        chooser = Chooser()
        chooser.set([1, 1], choose, trials=[1])
        chooser.exchange(1, 10**9)
        chooser.exchange(0, 1)
        picks = [chooser.pick(seed) for seed in range(20)]
        assert 1 in picks
        if choose in (EWMA, LEAST):
            assert set(picks) == {1}
        chooser.began(1)
        assert {chooser.pick(seed) for seed in range(20)} == {0}
        chooser.ended(1)
        assert 1 in {chooser.pick(seed) for seed in range(20)}


@given(WEIGHTS, SEEDS)
def test_tickets_belong_to_the_endpoint_whose_weight_covers_them(weights: list[int], seed: int) -> None:
    excluded = Excluded(weights)
    owners = [index for index, weight in enumerate(weights) for _ in range(weight)]
    assert [excluded.at(ticket) for ticket in range(sum(weights))] == owners
    drawn = excluded.draw(seed)
    assert drawn == (owners[seed * len(owners) >> 64] if owners else None)
