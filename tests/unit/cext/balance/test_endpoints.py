"""Endpoints' states in the engine: what is counted, what is news, and what outlives a reload."""

import math

import pytest

from tests.unit.cext.balance.chooser import FULL, Chooser

DONE, CANCELLED, NOT_CONNECTED, RESET, TIMED_OUT = range(5)
ROW_5XX, ROW_GATEWAY, ROW_LOCAL, PASSED, FAILED = 1, 2, 4, 8, 16


def test_state_outlives_a_reload_and_is_freed_with_the_last_that_names_it() -> None:
    chooser = Chooser()
    chooser.set([1, 1])
    chooser.exchange(0, 5000)
    chooser.set([3, 1])
    assert chooser.counts(100).cost_us == 5000
    assert chooser.counts(100).answered == 1
    chooser.set([1], groups=[101])
    assert chooser.lib.bench_states(chooser.clusters) == 1
    assert chooser.counts(100) is None
    chooser.lib.clusters_remove(chooser.clusters, 0)
    chooser.use()
    assert chooser.cluster is None
    assert chooser.lib.bench_states(chooser.clusters) == 0


def test_a_request_under_way_keeps_the_cluster_that_it_began_with() -> None:
    chooser = Chooser()
    chooser.set([1, 1])
    old = chooser.keep()
    chooser.began(1)
    chooser.set([1], groups=[300])
    chooser.lib.endpoint_answered(old, 0, 1, 200, 700, 5)
    chooser.lib.endpoint_ended(old, 0, 1, DONE, 700, 5)
    assert (chooser.counts(101).answered, chooser.counts(101).outstanding) == (1, 0)


def test_states_of_endpoints_that_come_and_go_do_not_pile_up() -> None:
    chooser = Chooser()
    for number in range(5000):
        chooser.set([1], groups=[1000 + number])
    chooser.lib.bench_states(chooser.clusters)
    assert chooser.lib.bench_states(chooser.clusters) == 1


def test_errors_in_a_row_are_news_once_and_success_ends_the_row() -> None:
    chooser = Chooser()
    chooser.set([1], in_a_row=[3, 0, 0])
    for status in (500, 503, 200, 500, 502):
        chooser.exchange(0, 1, status=status)
    assert chooser.news() is None
    chooser.exchange(0, 1, status=599)
    assert chooser.news() == (100, ROW_5XX)
    assert chooser.news() is None
    for _ in range(2):
        chooser.exchange(0, 1, status=500)
    assert chooser.news() is None
    chooser.exchange(0, 1, status=500)
    assert chooser.news() == (100, ROW_5XX)


def test_gateway_errors_are_502_to_504_and_another_5xx_ends_their_row() -> None:
    chooser = Chooser()
    chooser.set([1], in_a_row=[0, 3, 0])
    for status in (502, 503, 500, 504, 502, 501, 503, 505, 502, 502):
        chooser.exchange(0, 1, status=status)
    assert chooser.news() is None
    chooser.exchange(0, 1, status=504)
    assert chooser.news() == (100, ROW_GATEWAY)


@pytest.mark.parametrize("how", [NOT_CONNECTED, RESET, TIMED_OUT])
def test_a_failure_without_an_answer_is_of_every_kind_unless_told_apart(how: int) -> None:
    chooser = Chooser()
    chooser.set([1], in_a_row=[2, 2, 2])
    chooser.failed(0, how)
    assert chooser.news() is None
    chooser.failed(0, how)
    assert chooser.news() == (100, ROW_5XX | ROW_GATEWAY | ROW_LOCAL)
    chooser.set([1], in_a_row=[2, 2, 2], split_local=1)
    for _ in range(2):
        chooser.failed(0, how)
    assert chooser.news() == (100, ROW_LOCAL)
    assert chooser.counts(100).failures[how] == 4


def test_an_answer_of_any_status_ends_a_row_of_failures_without_one() -> None:
    chooser = Chooser()
    chooser.set([1], in_a_row=[0, 0, 2], split_local=1)
    chooser.failed(0)
    chooser.exchange(0, 1, status=500)
    chooser.failed(0)
    assert chooser.news() is None


def test_what_is_cancelled_is_no_fault_of_the_endpoint() -> None:
    chooser = Chooser()
    chooser.set([1], in_a_row=[1, 1, 1])
    chooser.failed(0, CANCELLED)
    assert chooser.news() is None
    assert chooser.counts(100).cost_us == 0
    assert list(chooser.counts(100).failures) == [0] * 5


@pytest.mark.parametrize(("status", "news"), [(200, PASSED), (404, PASSED), (499, PASSED), (500, FAILED)])
def test_how_a_trial_went_is_news(status: int, news: int) -> None:
    chooser = Chooser()
    chooser.set([1], trials=[0])
    chooser.exchange(0, 1, status=status)
    assert chooser.news() == (100, news)
    chooser.failed(0)
    assert chooser.news() == (100, FAILED)


def test_statuses_from_400_on_are_counted_one_by_one() -> None:
    chooser = Chooser(workers=2)
    chooser.set([1])
    for status in (200, 399, 400, 404, 404, 503, 599, 600, 999):
        chooser.exchange(0, 1, status=status, worker=status % 2)
    counts = chooser.counts(100)
    assert {400 + at: n for at, n in enumerate(counts.statuses) if n} == {400: 1, 404: 2, 503: 1, 599: 1}
    assert counts.answered == 9


def test_a_failure_costs_a_second_and_fast_errors_do_not_attract() -> None:
    chooser = Chooser()
    chooser.set([1])
    chooser.exchange(0, 4000, now=10)
    chooser.exchange(0, 1, status=503, now=10**6)
    assert chooser.counts(100).cost_us == 4000
    chooser.failed(0, now=2 * 10**6)
    assert chooser.counts(100).cost_us == 1e6
    chooser.exchange(0, 2000, now=6 * 10**6)
    assert chooser.counts(100).cost_us == pytest.approx(1e6 / math.e + 2000 * (1 - 1 / math.e))


def test_limits_are_of_the_whole_cluster_and_outlive_a_reload() -> None:
    chooser = Chooser()
    for limit in range(4):
        limits = [0, 0, 0, 0]
        limits[limit] = 2
        chooser.set([1], limits=limits)
        take, give = chooser.lib.limit_take, chooser.lib.limit_give
        assert [take(chooser.cluster, limit) for _ in range(3)] == [True, True, False]
        chooser.set([1], limits=limits)
        assert not take(chooser.cluster, limit)
        give(chooser.cluster, limit)
        assert take(chooser.cluster, limit)
        assert not take(chooser.cluster, limit)
        assert take(chooser.cluster, (limit + 1) % 4)  # has no limit
        for one in (limit, limit, (limit + 1) % 4):
            give(chooser.cluster, one)


def test_limits_of_one_endpoint() -> None:
    chooser = Chooser(workers=2)
    chooser.set([1, 1], endpoint_requests=1, endpoint_connections=1)
    chooser.began(0, worker=1)
    assert {chooser.pick(seed) for seed in range(9)} == {1}
    chooser.began(1)
    assert chooser.pick(1) == FULL
    taken = [chooser.ffi.new("struct tg_taken *") for _ in range(4)]
    assert chooser.lib.taken_take(chooser.cluster, 0, taken[0])
    assert not chooser.lib.taken_take(chooser.cluster, 0, taken[1])
    assert chooser.lib.taken_take(chooser.cluster, 1, taken[2])
    chooser.lib.taken_give(taken[0])
    assert chooser.lib.taken_take(chooser.cluster, 0, taken[3])
    for one in taken:
        chooser.lib.taken_give(one)


def test_the_place_of_a_connection_counts_for_the_cluster_too_and_outlives_it() -> None:
    chooser = Chooser()
    chooser.set([1, 1], limits=[1, 0, 0, 0])
    taken, other = chooser.ffi.new("struct tg_taken *"), chooser.ffi.new("struct tg_taken *")
    assert chooser.lib.taken_take(chooser.cluster, 0, taken)
    assert not chooser.lib.taken_take(chooser.cluster, 1, other)
    chooser.set([1], limits=[1, 0, 0, 0])
    assert not chooser.lib.taken_take(chooser.cluster, 0, other)
    chooser.lib.taken_give(taken)
    assert chooser.lib.taken_take(chooser.cluster, 0, other)
    chooser.lib.taken_give(other)
