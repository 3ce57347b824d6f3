"""The choice of two against its description, and drawing by weight."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.balance import least_request
from proxy.core.balance.excluded import MOST, Excluded
from proxy.core.balance.pick import AT_RANDOM, FULL, of_two, pick
from proxy.core.dice import Dice, mix

WEIGHTS = st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any)


def everything(_: int) -> bool:
    return True


def test_dice_are_splitmix64() -> None:
    """Vectors of the published generator, seed 0."""
    dice = Dice(0)
    assert [dice.next() for _ in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert mix(0) == 0
    assert {Dice(seed).below(3) for seed in range(50)} == {0, 1, 2}


@given(WEIGHTS, st.lists(st.integers(0, 8)))
def test_drawing_is_by_weight_among_those_not_excluded(weights: list[int], out: list[int]) -> None:
    excluded = Excluded(weights)
    gone = {one % len(weights) for one in out}
    for one in gone:
        assert excluded.add(one) is (weights[one] > 0)
        assert not excluded.add(one)
    left = [index for index, weight in enumerate(weights) for _ in range(weight) if index not in gone]
    step = (1 << 64) // max(1, len(left))
    drawn = [excluded.draw(ticket * step + step // 2) for ticket in range(len(left))]
    assert drawn == left
    if not left:
        assert excluded.draw(5) is None


def test_room_for_exclusions_is_bounded() -> None:
    excluded = Excluded([1] * 40)
    assert [excluded.add(index) for index in range(40)] == [True] * MOST + [False] * (40 - MOST)
    assert excluded.weight == MOST


@given(WEIGHTS, st.integers(0, 2**64 - 1), st.lists(st.integers(0, 20), min_size=9, max_size=9))
def test_the_better_of_two_different_ones_is_taken(weights: list[int], seed: int, scores: list[int]) -> None:
    dice, drawn = Dice(seed), Excluded(weights)
    first = drawn.draw(dice.next())
    assert first is not None
    drawn.add(first)
    second = drawn.draw(dice.next())
    found = pick(weights, everything, of_two(lambda one: scores[one]), dice=Dice(seed))
    assert found == (first if second is None or scores[first] <= scores[second] else second)
    assert second != first


@given(WEIGHTS, st.integers(0, 1000), st.lists(st.integers(0, 8), max_size=9))
def test_a_retry_goes_elsewhere_where_there_is_an_elsewhere(weights: list[int], seed: int, out: list[int]) -> None:
    tried = [one % len(weights) for one in out]
    usable = {index for index, weight in enumerate(weights) if weight}
    for method in (AT_RANDOM, of_two(float)):
        found = pick(weights, everything, method, tried=tried, dice=Dice(seed))
        assert found in (usable - set(tried) or usable)


@given(WEIGHTS, st.integers(0, 1000), st.sets(st.integers(0, 8)))
def test_what_admits_nothing_is_passed_over(weights: list[int], seed: int, full: set[int]) -> None:
    fit = {index for index, weight in enumerate(weights) if weight and index not in full}
    for method in (AT_RANDOM, of_two(float)):
        found = pick(weights, lambda one: one not in full, method, dice=Dice(seed))
        assert found in fit if fit else found is FULL


def test_among_many_full_ones_the_one_that_is_left_is_found() -> None:
    weights = [1] * 200
    assert all(
        pick(weights, lambda one: one == 77, method, dice=Dice(seed)) == 77
        for method in (AT_RANDOM, of_two(float))
        for seed in range(20)
    )


def test_no_weight_no_pick() -> None:
    assert pick([0, 0], everything, AT_RANDOM, dice=Dice(1)) is None
    assert pick([], everything, AT_RANDOM, dice=Dice(1)) is None


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [5, 3, 2], [7, 1]])
def test_equal_scores_keep_to_the_weights(weights: list[int]) -> None:
    rounds = 20_000
    for method in (AT_RANDOM, of_two(lambda _: 1.0)):
        found = Counter(pick(weights, everything, method, dice=Dice(seed)) for seed in range(rounds))
        for index, weight in enumerate(weights):
            assert found[index] / rounds == pytest.approx(weight / sum(weights), abs=0.015)


def test_two_choices_keep_the_fullest_near_the_mean() -> None:
    """n balls into n bins: log n / log log n with one choice, log log n with two (Mitzenmacher)."""
    bins = 2000

    def fullest(two: bool) -> int:
        loads = [0] * bins
        method = of_two(lambda one: least_request.score(loads[one], 1.0)) if two else AT_RANDOM
        for seed in range(bins):
            index = pick([1] * bins, everything, method, dice=Dice(seed))
            assert isinstance(index, int)
            loads[index] += 1
        return max(loads)

    assert fullest(two=True) <= 4 < fullest(two=False)


def test_least_request_balances_what_is_under_way_by_weight() -> None:
    weights, loads = [3, 1], [0, 0]
    method = of_two(lambda one: least_request.score(loads[one], weights[one] / 3))
    for seed in range(400):
        index = pick(weights, everything, method, dice=Dice(seed))
        assert isinstance(index, int)
        loads[index] += 1
    assert loads == [300, 100]
