"""Outlier detection: who is ejected, for how long, and how an endpoint comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.policy.upstream import Outlier, SuccessRate
from proxy.core.resilience.ejection import MAX_EJECTION_S, Ejection, duration, ejected
from proxy.core.resilience.outlier import TRIAL_PERCENT, OutlierDetector
from proxy.core.resilience.success_rate import Answers, outliers

TEN = tuple(range(10))
HALF = Outlier(max_ejection_percent=50)


def out(detector: OutlierDetector[int], now: float) -> set[int]:
    return {one for one, fitness in detector.opinions(now).items() if not fitness.percent}


def test_each_ejection_in_a_row_lasts_twice_as_long_up_to_a_limit() -> None:
    assert [duration(30, times) for times in range(1, 7)] == [30, 60, 120, 240, 300, 300]
    assert duration(400, 5) == 400
    assert duration(30, 10**6) == MAX_EJECTION_S


def test_the_life_of_an_ejection() -> None:
    one = ejected(None, "bad", 100, 30)
    assert one == Ejection("bad", 130)
    assert one.is_out(129.9)
    assert not one.is_out(130)
    assert one.is_on_trial(130)
    assert not one.is_on_trial(129.9)
    back = one.passed(140)
    assert not back.is_out(100)
    assert not back.is_on_trial(150)
    assert not back.is_forgotten(169.9, 30)
    assert back.is_forgotten(170, 30)
    assert not one.is_forgotten(10**6, 30)
    again = ejected(back, "bad", 150, 30)
    assert (again.times, again.until) == (2, 210)


def test_out_then_on_trial_then_whole() -> None:
    detector = OutlierDetector[int](Outlier())
    assert detector.failed_in_a_row(3, "five 5xx in a row", 0, TEN)
    assert out(detector, 29.9) == {3}
    assert detector.opinions(0)[3].reason == "ejected: five 5xx in a row"
    trial = detector.opinions(30)[3]
    assert (trial.percent, trial.trial) == (TRIAL_PERCENT, True)
    assert not detector.tried(3, True, 29)
    assert detector.tried(3, True, 31)
    assert detector.opinions(31) == {}
    assert not detector.tried(3, True, 32)
    assert not detector.tried(4, True, 32)


def test_a_failed_trial_ejects_for_twice_as_long() -> None:
    detector = OutlierDetector[int](Outlier())
    detector.failed_in_a_row(3, "x", 0, TEN)
    assert detector.tried(3, False, 40)
    assert out(detector, 99.9) == {3}
    assert "2 times" in detector.opinions(50)[3].reason
    assert detector.opinions(100)[3].trial
    # Failures in a row are a failed trial, too; while it is out they change nothing.
    assert detector.failed_in_a_row(3, "y", 110, TEN)
    assert not detector.failed_in_a_row(3, "y", 111, TEN)
    assert out(detector, 229) == {3}


def test_what_was_well_for_as_long_as_it_was_out_begins_anew() -> None:
    for well_s, expected in ((29.0, 60), (30.0, 30)):
        detector = OutlierDetector[int](Outlier())
        detector.failed_in_a_row(3, "x", 0, TEN)
        detector.tried(3, True, 30)
        detector.interval({}, 30 + well_s, TEN)
        detector.failed_in_a_row(3, "x", 100, TEN)
        assert out(detector, 100 + expected - 0.1) == {3}
        assert out(detector, 100 + expected) == set()


@given(st.lists(st.integers(0, 9)), st.integers(0, 100))
def test_the_percentage_holds_but_for_one(failing: list[int], percent: int) -> None:
    detector = OutlierDetector[int](Outlier(max_ejection_percent=percent))
    for one in failing:
        detector.failed_in_a_row(one, "x", 0, TEN)
    ejected_now = out(detector, 0)
    allowed = -(-percent * len(TEN) // 100)
    assert len(ejected_now) == min(len(set(failing)), allowed)


def test_one_on_trial_counts_as_ejected() -> None:
    detector = OutlierDetector[int](Outlier())
    detector.failed_in_a_row(3, "x", 0, TEN)
    assert not detector.failed_in_a_row(4, "x", 31, TEN)
    detector.tried(3, True, 32)
    assert detector.failed_in_a_row(4, "x", 33, TEN)


def test_the_percentage_is_of_those_that_are_there() -> None:
    detector = OutlierDetector[int](Outlier(max_ejection_percent=1))
    many = range(101)
    assert detector.failed_in_a_row(1, "x", 0, many)
    assert detector.failed_in_a_row(2, "x", 0, many)  # one of 101 is less than a percent
    assert not detector.failed_in_a_row(3, "x", 0, many)
    assert detector.failed_in_a_row(3, "x", 0, range(3, 101))  # those that were out have gone


def test_an_endpoint_that_has_gone_is_forgotten_and_never_ejected() -> None:
    detector = OutlierDetector[int](HALF)
    assert not detector.failed_in_a_row(11, "x", 0, TEN)
    detector.failed_in_a_row(3, "x", 0, TEN)
    detector.interval({}, 10, TEN[:3])
    assert detector.opinions(10) == {}


def test_success_rate_ejects_the_one_that_stands_out() -> None:
    rates = {one: Answers(99 if one else 60, 100) for one in TEN}
    detector = OutlierDetector[int](Outlier(max_ejection_percent=50, success_rate=SuccessRate()))
    assert detector.interval(rates, 10, TEN)
    assert out(detector, 10) == {0}
    assert "60.0 % against 95.1 %" in detector.opinions(10)[0].reason
    assert not detector.interval({one: Answers(99, 100) for one in TEN}, 20, TEN)


def test_the_worst_goes_first_where_only_one_may() -> None:
    rates = {one: Answers(100, 100) for one in range(20)} | {4: Answers(30, 100), 5: Answers(20, 200)}
    detector = OutlierDetector[int](Outlier(max_ejection_percent=5, success_rate=SuccessRate()))
    assert len(outliers(SuccessRate(), rates)) == 2
    detector.interval(rates, 10, range(20))
    assert out(detector, 10) == {5}


def test_without_the_setting_success_rates_eject_nothing() -> None:
    detector = OutlierDetector[int](HALF)
    assert not detector.interval({one: Answers(100 if one else 0, 100) for one in TEN}, 10, TEN)


def test_too_little_is_no_statistics() -> None:
    settings = SuccessRate(minimum_hosts=5, request_volume=100, stdev_factor=1.0)
    rates = {one: Answers(100 if one else 0, 100) for one in range(5)}
    assert outliers(settings, rates).keys() == {0}
    assert outliers(settings, rates | {4: Answers(99, 99)}) == {}
    assert outliers(settings, dict(list(rates.items())[:4])) == {}
    assert outliers(SuccessRate(0, 0, 1.0), {0: Answers(0, 0), 1: Answers(5, 5)}) == {}
    assert outliers(SuccessRate(0, 0, 0.5), {0: Answers(0, 1), 1: Answers(1, 1)}).keys() == {0}


@given(st.lists(st.integers(0, 100), min_size=5, max_size=12), st.floats(0, 3))
def test_outliers_are_below_mean_less_factor_deviations(good: list[int], factor: float) -> None:
    found = outliers(SuccessRate(5, 100, factor), {one: Answers(each, 100) for one, each in enumerate(good)})
    mean = sum(good) / len(good)
    deviation = (sum((each - mean) ** 2 for each in good) / len(good)) ** 0.5
    for one, each in enumerate(good):
        if each < mean - factor * deviation - 1e-6:
            assert one in found
        if each > mean - factor * deviation + 1e-6:
            assert one not in found


def test_equal_rates_have_no_outlier() -> None:
    assert outliers(SuccessRate(stdev_factor=0), {one: Answers(33, 100) for one in TEN}) == {}


@pytest.mark.parametrize("percent", [0])
def test_no_percentage_no_ejection(percent: int) -> None:
    detector = OutlierDetector[int](Outlier(max_ejection_percent=percent))
    assert not detector.failed_in_a_row(1, "x", 0, TEN)
