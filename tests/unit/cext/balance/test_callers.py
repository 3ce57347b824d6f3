"""The engine's rates per caller are those of proxy/core/resilience/callers.py, in memory that does not grow."""

from __future__ import annotations

import resource

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.dice import hash_of
from proxy.core.resilience.callers import CallerBuckets
from tests.unit.cext.balance.chooser import Chooser

SECOND = 10**6
STEPS = st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(0, 30)), min_size=1, max_size=80)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.sampled_from([0.5, 2.0, 40.0]), st.integers(1, 6))
def test_as_defined(steps: list[tuple[int, int]], per_s: float, burst: int) -> None:
    lib = Chooser().lib
    callers, buckets = lib.callers_new(True), CallerBuckets(per_s, burst)
    now = 100 * SECOND
    for gap, number in steps:
        now += gap
        caller = b"caller %d" % number
        after = buckets.take(caller, now / SECOND)
        over = lib.callers_admit(callers, hash_of(caller), per_s, burst, now) / 1e9
        assert abs(over - (after or 0.0)) < 1e-5
    lib.callers_release(callers)


def test_a_million_callers_take_no_more_room_and_one_that_hurries_is_not_forgotten() -> None:
    lib = Chooser().lib
    callers = lib.callers_new(True)
    now = 100 * SECOND
    for number in range(70_000):
        lib.callers_admit(callers, hash_of(b"c%d" % number), 1.0, 5, now)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    busy = hash_of(b"busy")
    taken = 0
    for number in range(1_000_000):
        if number % 1000 == 0:
            taken += lib.callers_admit(callers, busy, 1.0, 5, now) == 0
        lib.callers_admit(callers, number * 0x9E3779B97F4A7C15 & 2**64 - 1, 1000.0, 5, now)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2048
    assert taken == 5
    lib.callers_release(callers)
