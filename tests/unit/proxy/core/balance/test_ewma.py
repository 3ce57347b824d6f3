"""Peak EWMA against its description: peaks at once, recovery by time, fading only while nothing is under way."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.balance.ewma import DECAY_S, FAILURE_S, UNPROVEN_US, PeakEwma

US = 1_000_000
LATENCIES = st.floats(1, 1e7)
GAPS = st.integers(0, 20 * US)


@given(LATENCIES, LATENCIES, GAPS)
def test_a_slower_answer_counts_at_once_and_in_full(first: float, second: float, gap: int) -> None:
    found = PeakEwma().observed(first, 1).observed(second, 1 + gap)
    if second >= first:
        assert found.cost_us == second
    else:
        old = math.exp(-gap / (DECAY_S * US))
        assert found.cost_us == pytest.approx(first * old + second * (1 - old))


@given(st.lists(st.tuples(LATENCIES, GAPS), min_size=1, max_size=30))
def test_the_estimate_stays_between_the_lowest_and_the_highest_answer(told: list[tuple[float, int]]) -> None:
    estimate, now = PeakEwma(), 1
    for latency, gap in told:
        now += gap
        estimate = estimate.observed(latency, now)
    latencies = [latency for latency, _ in told]
    assert min(latencies) * 0.999999 <= estimate.cost_us <= max(latencies) * 1.000001


def test_after_the_decay_time_a_third_of_a_peak_is_left() -> None:
    estimate = PeakEwma().observed(100.0, 1).observed(0.0, 1 + int(DECAY_S * US))
    assert estimate.cost_us == pytest.approx(100 / math.e)


def test_half_a_second_is_forgotten_within_thirty_seconds() -> None:
    """The promise: an endpoint that is well again has its share back within 30 s, against others at 1 ms."""
    slow = PeakEwma().observed(500_000, 1)
    assert slow.score(0, 1.0, 1 + 24 * US) > 1000
    assert slow.score(0, 1.0, 1 + 25 * US) < 1000
    assert slow.observed(1000, 1 + 25 * US).cost_us < 2000


@given(LATENCIES, GAPS, st.integers(1, 50))
def test_while_a_request_is_under_way_nothing_fades(latency: float, gap: int, outstanding: int) -> None:
    estimate = PeakEwma().observed(latency, 1)
    assert estimate.score(outstanding, 1.0, 1 + gap) == latency * (1 + outstanding)


@given(LATENCIES, st.integers(1, 20), st.floats(0.01, 1))
def test_an_endpoint_of_half_the_weight_counts_what_is_under_way_twice(
    latency: float, outstanding: int, weight: float
) -> None:
    estimate = PeakEwma().observed(latency, 1)
    assert estimate.score(outstanding, weight, 1) == pytest.approx(estimate.score(1, weight / outstanding, 1))
    assert estimate.score(0, weight, 1) == latency


def test_a_new_endpoint_is_tried_at_once_but_by_one_request() -> None:
    new = PeakEwma()
    assert new.score(0, 1.0, 5) == 0
    assert new.score(1, 1.0, 5) == 2 * UNPROVEN_US


@given(LATENCIES, st.floats(0, 1e7))
def test_a_failure_costs_at_least_a_second_and_what_it_took(latency: float, elapsed: float) -> None:
    found = PeakEwma().observed(latency, 1).failed(elapsed, 7)
    assert found == PeakEwma(max(latency, elapsed, FAILURE_S * US), 7)


def test_a_fast_error_teaches_nothing_and_a_slow_one_does() -> None:
    estimate = PeakEwma().observed(1000, 1)
    assert estimate.answered_with_error(999, 5) is estimate
    assert estimate.answered_with_error(1000, 5) == PeakEwma(1000, 5)
    assert PeakEwma().answered_with_error(3, 0) == PeakEwma(3, 1)
