"""Locality preference with priority failover, and slow start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.balance.locality import UNIT, level, loads, weights
from proxy.core.policy.cluster import Locality
from proxy.core.policy.upstream import Distribution, LocalitySettings, Warmup
from proxy.core.resilience.slow_start import percent

OWN = Locality("eu", "a", "1")
PLAIN = LocalitySettings()


def test_levels_from_near_to_far() -> None:
    there = [
        OWN,
        Locality("eu", "a", "2"),
        Locality("eu", "b", "1"),
        Locality("us", "a", "1"),
        Locality("ap", "a", "1"),
    ]
    assert [level(one, OWN, PLAIN) for one in there] == [0, 1, 2, 3, 3]
    assert [level(one, OWN, LocalitySettings(failover=(("eu", "ap"),))) for one in there] == [0, 1, 2, 4, 3]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_all_load_is_given_out_and_none_takes_more_than_it_bears(fit: list[float]) -> None:
    found = loads(fit)
    assert sum(found) == pytest.approx(1.0 if any(fit) else 0.0)
    bears = [min(1.0, 1.4 * one) for one in fit]
    if sum(bears) >= 1:
        assert all(share <= one + 1e-9 for share, one in zip(found, bears, strict=True))
        nearest_full = next(n for n, _ in enumerate(bears) if sum(bears[: n + 1]) >= 1)
        assert not any(found[nearest_full + 1 :])


def test_failover_begins_below_seventy_one_percent() -> None:
    assert loads([0.72, 1.0]) == [1.0, 0.0]
    assert loads([0.5, 1.0]) == pytest.approx([0.7, 0.3])
    assert loads([0.0, 0.0, 1.0]) == [0, 0, 1]
    assert loads([0.25, 0.25]) == pytest.approx([0.5, 0.5])
    assert loads([0.0]) == [0.0]


def test_the_nearest_get_everything_while_they_are_well() -> None:
    places = [OWN, OWN, Locality("us", "a", "1")]
    assert weights([100, 100, 100], places, OWN, PLAIN) == [UNIT // 2, UNIT // 2, 0]
    assert weights([0, 0, 100], places, OWN, PLAIN) == [0, 0, UNIT]
    assert weights([100, 0, 100], places, OWN, PLAIN) == [7000, 0, 3000]
    assert weights([100, 50, 100], places, OWN, PLAIN) == [6667, 3333, 0]


def test_distribute_says_the_shares() -> None:
    rule = Distribution("eu/a/*", (("eu/a/*", 80), ("eu/b/*", 20)))
    settings = LocalitySettings(distribute=(rule,))
    places = [OWN, Locality("eu", "b", "1"), Locality("eu", "b", "2"), Locality("us", "a", "1")]
    assert weights([100] * 4, places, OWN, settings) == [8000, 1000, 1000, 0]
    assert weights([100, 0, 100, 100], places, OWN, settings) == [8000, 0, 2000, 0]
    assert weights([100] * 4, places, Locality("us"), settings) == [0, 0, 0, UNIT]  # no rule for this place


def test_switched_off_or_unknown_localities_have_no_say() -> None:
    assert weights([100, 30], [OWN, OWN], OWN, LocalitySettings(enabled=False)) == [100, 30]
    assert weights([100, 30], [], OWN, PLAIN) == [100, 30]


@given(st.lists(st.integers(0, 100), min_size=4, max_size=4))
def test_what_is_fit_and_has_a_share_has_a_weight(percents: list[int]) -> None:
    places = [OWN, OWN, Locality("us"), Locality("us")]
    found = weights(percents, places, OWN, PLAIN)
    assert all(weight == 0 for weight, one in zip(found, percents, strict=True) if one == 0)
    assert any(found) == any(percents)


@given(st.floats(0, 200), st.floats(0, 100), st.floats(0.2, 5))
def test_a_new_endpoint_grows_from_the_minimum_to_all(age: float, minimum: float, aggression: float) -> None:
    warmup = Warmup(100.0, minimum, aggression)
    found = percent(age, warmup)
    assert minimum <= found <= 100
    assert percent(age + 1, warmup) >= found
    assert percent(100, warmup) == 100


def test_slow_start_is_linear_unless_told_otherwise() -> None:
    assert percent(50, Warmup(100.0)) == pytest.approx(50)
    assert percent(1, Warmup(100.0)) == 10
    assert percent(25, Warmup(100.0, aggression=2.0)) == pytest.approx(50)
    assert percent(-5, Warmup(100.0)) == 10
