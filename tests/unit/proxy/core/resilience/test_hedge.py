"""Hedging: the live quantile, its budget and its breaker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.policy.settings import Hedging
from proxy.core.resilience.hedge import BREAKER_S, Hedger
from proxy.core.resilience.quantile import BUCKETS, GROWTH, LEAST, SHORTEST_S, LiveQuantile, bucket_of, upper_end


@given(st.lists(st.floats(SHORTEST_S, 90), min_size=LEAST, max_size=200), st.floats(0.01, 0.99))
def test_the_estimate_is_at_most_a_bucket_above_the_true_quantile(times: list[float], quantile: float) -> None:
    live = LiveQuantile()
    for one in times:
        live.told(one, 5.0)
    found = live.estimate(quantile, 5.0)
    assert found is not None
    in_order = sorted(times)
    true = next(one for at, one in enumerate(in_order, 1) if at >= quantile * len(times))
    assert true * (1 - 1e-9) <= found <= true * GROWTH * (1 + 1e-9)


@given(st.floats(0, 1000))
def test_buckets_are_in_order(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert 0 <= bucket < BUCKETS
    if bucket:
        assert upper_end(bucket - 1) * (1 - 1e-9) <= seconds
    if bucket < BUCKETS - 1:
        assert seconds <= upper_end(bucket) * (1 + 1e-9)


def test_the_buckets_reach_from_a_tenth_of_a_millisecond_to_a_hundred_seconds() -> None:
    assert upper_end(0) == SHORTEST_S
    assert 95 < upper_end(BUCKETS - 1) < 105


def test_no_estimate_before_fifty_answers() -> None:
    live = LiveQuantile()
    for _ in range(LEAST - 1):
        live.told(0.01, 0)
    assert live.estimate(0.9, 0) is None
    live.told(0.01, 0)
    assert live.estimate(0.9, 0) == pytest.approx(0.01, rel=0.05)


def test_what_is_older_than_thirty_seconds_is_forgotten() -> None:
    live = LiveQuantile()
    for _ in range(LEAST):
        live.told(1.0, 0)
    assert live.estimate(0.5, 29.9) is not None
    assert live.estimate(0.5, 30) is None
    for _ in range(LEAST):
        live.told(0.01, 33)
    assert live.estimate(0.99, 33) == pytest.approx(0.01, rel=0.05)


def hedger(**fields: float) -> Hedger:
    found = Hedger(Hedging(**fields))
    for _ in range(200):
        found.answered(0.01, 100)
    return found


def test_the_delay_is_the_quantile_and_at_least_the_minimum() -> None:
    one = hedger()
    assert one.delay(100) == pytest.approx(0.01, rel=0.05)
    assert hedger(min_delay_s=0.5).delay(100) == 0.5
    assert Hedger(Hedging()).delay(100) is None


def test_hedges_have_a_budget_of_their_own() -> None:
    one = hedger(budget_percent=5.0)
    for _ in range(1000):
        one.begun(100)
    taken = sum(one.takes(100) for _ in range(100))
    assert taken == 50


def test_the_breaker_opens_when_everything_is_slow() -> None:
    one = hedger(budget_percent=100.0, quantile=0.9)
    for _ in range(100):
        one.begun(100)
    # Ten of a hundred outlive the quantile by its definition; twice as many are let through, then no more.
    assert [one.takes(100) for _ in range(21)] == [True] * 20 + [False]
    assert one.open_until == 100 + BREAKER_S
    for now in (101.5, 109):
        for _ in range(100):
            one.begun(now)
        assert not one.takes(now)
    for _ in range(100):
        one.begun(110)
    assert one.takes(110)


def test_a_few_slow_ones_at_a_low_rate_open_nothing() -> None:
    one = hedger(budget_percent=100.0)
    for _ in range(19):
        one.begun(100)
    assert all(one.takes(100) for _ in range(19))
    assert not one.takes(100)
