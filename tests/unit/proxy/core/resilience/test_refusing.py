"""Circuit limits, buckets of callers, shedding, faults on purpose, statuses and probes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.policy.settings import Abort, Delay, Fault, Shedding, TcpFault
from proxy.core.policy.upstream import HealthCheck, HealthProtocol
from proxy.core.resilience.callers import WAYS, CallerBuckets
from proxy.core.resilience.circuit import Circuit
from proxy.core.resilience.fault import NO_FAULT, RequestFault, of_connection, of_request
from proxy.core.resilience.probed import Probed, judged
from proxy.core.resilience.shedding import is_dropped
from proxy.core.resilience.status_weights import LEAST, RECOVERY_PER_S, after_answers


@given(st.integers(0, 5), st.lists(st.booleans(), max_size=40))
def test_a_circuit_never_has_more_under_way_than_its_limit(limit: int, steps: list[bool]) -> None:
    circuit, under_way, refused = Circuit(limit), 0, 0
    for begins in steps:
        if begins:
            taken = circuit.take()
            assert taken is (under_way < limit)
            under_way, refused = under_way + taken, refused + (not taken)
        elif under_way:
            circuit.give()
            under_way -= 1
        assert (circuit.now, circuit.overflows) == (under_way, refused)
    assert all(Circuit(None).take() for _ in range(3))


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.sampled_from([0.5, 2.0, 50.0]), st.integers(1, 20))
def test_a_caller_has_its_burst_and_then_its_rate(gaps: list[float], per_s: float, burst: int) -> None:
    buckets, now, tokens = CallerBuckets(per_s, burst), 100.0, float(burst)
    for gap in gaps:
        now += gap
        tokens = min(float(burst), tokens + gap * per_s)
        after = buckets.take(b"caller", now)
        if tokens >= 1 + 1e-6:
            assert after is None
        if tokens <= 1 - 1e-6:
            assert after == pytest.approx((1 - tokens) / per_s, abs=1e-6)
        if after is None:
            tokens -= 1


def test_a_token_is_there_when_retry_after_says() -> None:
    buckets = CallerBuckets(2.0, 1)
    assert buckets.take(b"a", 10) is None
    after = buckets.take(b"a", 10.1)
    assert after == pytest.approx(0.4)
    assert buckets.take(b"a", 10.5 - 0.001) is not None
    assert buckets.take(b"a", 10.5) is None


def test_callers_do_not_share_and_a_million_of_them_take_no_more_room() -> None:
    buckets = CallerBuckets(1.0, 1, sets=64)
    assert buckets.take(b"a", 0) is None
    assert buckets.take(b"b", 0) is None
    assert buckets.take(b"a", 0) is not None
    for number in range(5000):
        buckets.take(b"%d" % number, 1)
    assert len(buckets) == 64 * WAYS


def test_the_fullest_bucket_is_forgotten_first() -> None:
    buckets = CallerBuckets(1.0, 100, sets=1)
    for number, used in enumerate((50, 3, 50, 50)):
        for _ in range(used):
            buckets.take(b"%d" % number, 0)
    buckets.take(b"new", 0)
    # The second one, which had most left, has its whole burst again; the others have what they had.
    assert [sum(buckets.take(b"%d" % n, 0) is None for _ in range(200)) for n in (0, 2, 3)] == [50, 50, 50]


@given(st.floats(0, 100), st.floats(0, 1, exclude_max=True))
def test_shedding_by_chance(percent: float, chance: float) -> None:
    dropped = is_dropped(Shedding(percent), b"any", lambda: chance)
    assert dropped is (chance * 100 < percent)
    assert is_dropped(Shedding(percent, "x-caller"), None, lambda: chance) is dropped


@given(st.binary(max_size=20), st.floats(0, 100), st.floats(0, 100))
def test_shedding_by_caller_is_all_or_nothing_and_grows(caller: bytes, one: float, other: float) -> None:
    low, high = sorted((one, other))

    def never() -> float:
        raise AssertionError("a caller's fate is no chance")

    assert is_dropped(Shedding(low, "x"), caller, never) <= is_dropped(Shedding(high, "x"), caller, never)
    assert not is_dropped(Shedding(0, "x"), caller, never)
    assert is_dropped(Shedding(100, "x"), caller, never)


def test_as_many_callers_are_dropped_as_asked() -> None:
    dropped = sum(is_dropped(Shedding(30, "x"), b"caller-%d" % n, random.random) for n in range(20_000))
    assert dropped / 20_000 == pytest.approx(0.3, abs=0.01)


def test_delay_and_abort_are_drawn_apart() -> None:
    fault = Fault(Delay(50, 0.3), Abort(30, 418))

    def drawn(*numbers: float) -> RequestFault:
        return of_request(fault, True, iter(numbers).__next__)

    assert drawn(0.49, 0.29) == RequestFault(0.3, 418)
    assert drawn(0.5, 0.29) == RequestFault(0, 418)
    assert drawn(0.49, 0.3) == RequestFault(0.3, None)
    assert drawn(0.5, 0.3) == NO_FAULT
    assert of_request(fault, False, random.random) == NO_FAULT
    assert of_request(Fault(), True, random.random) == NO_FAULT


def test_connections_are_broken_by_percentage() -> None:
    broken = TcpFault(1.0, reset_after_bytes=1000)
    assert of_connection(Fault(tcp=broken), lambda: 0.0099) is broken
    assert of_connection(Fault(tcp=broken), lambda: 0.01) is None
    assert of_connection(Fault(), lambda: 0.0) is None


@given(st.floats(0, 1), st.integers(0, 100), st.integers(0, 100), st.floats(0.1, 5), st.floats(LEAST, 1))
def test_weight_is_lost_in_proportion(
    weight: float, with_status: int, others: int, elapsed: float, factor: float
) -> None:
    found = after_answers(factor, {503: weight}, {503: with_status, 404: others}, with_status + others, elapsed)
    if with_status and weight < 1:
        share = with_status / (with_status + others)
        assert found == pytest.approx(max(LEAST, factor * (1 - share * (1 - weight)) ** elapsed))
    else:
        assert found == pytest.approx(min(1.0, factor + RECOVERY_PER_S * elapsed))


def test_a_weight_that_was_lost_is_back_within_thirty_seconds() -> None:
    factor = LEAST
    for _ in range(20):
        factor = after_answers(factor, {503: 0.5}, {}, 10, 1.0)
    assert factor == 1.0


CHECK = HealthCheck(HealthProtocol.HTTP, path="/healthz", unhealthy_threshold=3, healthy_threshold=2)


@given(st.lists(st.booleans(), max_size=40))
def test_checks_turn_an_endpoint_after_as_many_in_a_row_as_the_thresholds_say(passed: list[bool]) -> None:
    state, well, row = Probed(), True, 0
    for one in passed:
        state = state.result(CHECK, None if one else "refused")
        row = row + 1 if one != well else 0
        if row == (3 if well else 2):
            well, row = not well, 0
        assert (state.well, state.in_a_row) == (well, row)
        if not one:
            assert state.why == "refused"


def test_expected_statuses() -> None:
    check = HealthCheck(HealthProtocol.HTTP, path="/h", expected=((200, 204), (301, 301)))
    assert [judged(check, status) is None for status in (199, 200, 204, 205, 301, 302)] == [0, 1, 1, 0, 1, 0]
    assert judged(check, 500) == "GET /h answered 500"
