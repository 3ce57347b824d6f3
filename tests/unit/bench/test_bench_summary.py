"""Medians, ratios within a round, and the judgement of what is promised."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.descriptors import connections_within, fitting
from bench.summary import Run, figure, ratio, spread, summary
from bench.targets import TARGETS, Target, judge

VALUES = st.floats(min_value=1e-3, max_value=1e9)


@given(st.lists(VALUES, min_size=1))
def test_a_spread_encloses_its_median(values: list[float]) -> None:
    found = spread(values)
    assert found is not None
    assert (found.low, found.high, found.count) == (min(values), max(values), len(values))
    assert found.low <= found.median <= found.high


def test_nothing_has_no_spread() -> None:
    assert spread([]) is None


@given(st.lists(VALUES, min_size=1, max_size=9), st.floats(min_value=0.1, max_value=10), st.randoms())
def test_a_ratio_is_taken_within_each_round(base: list[float], factor: float, order: random.Random) -> None:
    """The machine's pace may differ a thousandfold between rounds; the ratio doesn't."""
    runs = [Run(n, "base", {"x": value}) for n, value in enumerate(base)]
    runs += [Run(n, "ours", {"x": value * factor}) for n, value in enumerate(base)]
    order.shuffle(runs)
    found = ratio(runs, "ours", "base", "x")
    assert found is not None
    assert found.count == len(base)
    assert (found.low, found.median, found.high) == pytest.approx((factor, factor, factor))


def test_a_round_that_one_of_them_missed_is_in_no_ratio() -> None:
    runs = [Run(0, "base", {"x": 1.0}), Run(0, "ours", {"x": 2.0}), Run(1, "base", {}), Run(1, "ours", {"x": 50.0})]
    found = ratio(runs, "ours", "base", "x")
    assert found is not None
    assert (found.median, found.count) == (2.0, 1)
    assert ratio(runs, "ours", "nobody", "x") is None


def test_a_base_of_zero_gives_no_ratio() -> None:
    assert ratio([Run(0, "none", {"cpu": 0.0}), Run(0, "ours", {"cpu": 3.0})], "ours", "none", "cpu") is None


def test_the_summary_names_every_figure_that_somebody_has() -> None:
    runs = [Run(0, "base", {"x": 4.0}), Run(0, "ours", {"x": 2.0, "y": 1.0})]
    found = summary(runs, ["base"])
    assert found["ours"]["x"] == {"median": 2.0, "low": 2.0, "high": 2.0, "count": 1, "ratios": {"base": 0.5}}
    assert found["ours"]["y"]["ratios"] == {}
    assert set(found["base"]) == {"x"}


@pytest.mark.parametrize(
    ("at_least", "value", "met"), [(True, 1.1, True), (True, 1.09, False), (False, 1.1, True), (False, 1.11, False)]
)
def test_the_bound_itself_is_met(at_least: bool, value: float, met: bool) -> None:
    target = Target("x", ("ours",), 1.1, at_least, "base")
    judged = judge([Run(0, "base", {"x": 1.0}), Run(0, "ours", {"x": value})], [target])
    assert [one.met for one in judged] == [met]


def test_an_absolute_bound_needs_no_rival() -> None:
    target = Target("memory_each_bytes", ("ours",), 8000, False)
    assert [one.met for one in judge([Run(0, "ours", {"memory_each_bytes": 8001.0})], [target])] == [False]


def test_what_was_not_measured_is_never_met() -> None:
    judged = judge([])
    assert [one.met for one in judged] == [None] * sum(len(target.contestants) for target in TARGETS)
    assert figure([], "ours", "x") is None


@given(st.lists(st.integers(min_value=1, max_value=100_000), min_size=1), st.integers(min_value=256, max_value=1 << 20))
def test_counts_of_connections_fit_the_limit(counts: list[int], limit: int) -> None:
    found = fitting(tuple(counts), limit)
    assert found
    assert list(found) == sorted(set(found))
    assert all(2 * count < limit for count in found)
    assert set(found) <= set(counts) or max(counts) > max(found)


def test_a_sufficient_limit_changes_nothing() -> None:
    assert fitting((1_000, 10_000), 65_536) == (1_000, 10_000)
    assert connections_within(20_000) < 10_000
    assert fitting((1_000, 10_000), 20_000) == (1_000, 8_000)
