"""A rate limit lets through what it says: in the long run, and at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.balance.rate_limit import RateLimits
from proxy.core.policy.policy import RateLimit


@given(st.integers(1, 20), st.floats(0.1, 100.0), st.lists(st.floats(0.0, 5.0), max_size=100))
def test_no_more_is_let_through_in_any_time_than_the_limit_says(burst: int, per_s: float, pauses: list[float]) -> None:
    limits, limit, now = RateLimits(), RateLimit(per_s, burst), 100.0
    admitted: list[float] = []
    for pause in pauses:
        now += pause
        if limits.admits("x", limit, now):
            admitted.append(now)
        for count, since in enumerate(reversed(admitted), 1):
            assert count <= burst + (now - since) * per_s + 1e-6
    assert len(admitted) >= min(burst, len(pauses))


def test_a_rest_fills_the_burst_and_no_more() -> None:
    limits, limit = RateLimits(), RateLimit(10.0, 3)
    assert limits.admits("x", limit, 0.0)
    assert [limits.admits("x", limit, 3600.0) for _ in range(5)] == [True, True, True, False, False]


def test_a_destination_that_comes_back_begins_anew() -> None:
    limits, limit = RateLimits(), RateLimit(0.001, 1)
    assert [limits.admits("x", limit, 0.0) for _ in range(2)] == [True, False]
    limits.forget(["x", "unknown"])
    assert limits.admits("x", limit, 0.0)
