"""The engine's live quantile and breaker are those of proxy/core/resilience."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.policy.settings import Hedging
from proxy.core.resilience.hedge import Hedger
from tests.unit.cext.balance.chooser import Chooser

SECOND = 10**6
STEPS = st.lists(
    st.tuples(st.integers(0, 4 * SECOND), st.integers(1, 25), st.integers(50, 5_000_000), st.integers(0, 40)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.sampled_from([0.5, 0.9, 0.99]))
def test_as_defined(steps: list[tuple[int, int, int, int]], quantile: float) -> None:
    lib = Chooser().lib
    hedger, defined = lib.hedger_new(), Hedger(Hedging(quantile, 100.0, 0.0))
    now = 100 * SECOND
    for gap, count, elapsed, slow in steps:
        now += gap + SECOND // 10  # an estimate is a twentieth of a second old at most
        for number in range(count):
            lib.hedger_answered(hedger, elapsed + number * 997, now)
            defined.answered((elapsed + number * 997) / SECOND, now / SECOND)
        expected = defined.delay(now / SECOND)
        found = lib.hedger_begin(hedger, quantile, now)
        defined.begun(now / SECOND)
        if expected is None:
            assert found == 0
        else:
            assert abs(found - expected * SECOND) <= 0.051 * expected * SECOND + 1
        for _ in range(slow):
            defined.takes(now / SECOND)
            bears = lib.hedger_bears(hedger, quantile, now)
            assert bears == (now / SECOND >= defined.open_until)
    lib.hedger_release(hedger)
