"""The engine's budgets are those of proxy/core/resilience/budget.py."""

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.resilience.budget import Budget
from tests.unit.cext.balance.chooser import Chooser

SECOND = 10**6
STEPS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 30), st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=25
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.sampled_from([0, 5, 20, 100]), st.sampled_from([0, 2, 4]), st.integers(0, 1))
def test_as_defined(steps: list[tuple[int, int, int, int]], percent: float, per_s: float, kind: int) -> None:
    chooser, budget = Chooser(workers=2), Budget(percent, per_s)
    chooser.set([1], budget_percent=[percent, percent], budget_per_s=[per_s, per_s])
    quarter = SECOND // 4
    now = 100 * SECOND
    for quarters, requests, takes, worker in steps:
        now += quarters * quarter
        for _ in range(requests):
            chooser.lib.cluster_request(chooser.cluster, worker, now)
            budget.request(now / SECOND)
        taken = [chooser.lib.cluster_may_repeat(chooser.cluster, worker, kind, chooser.ffi.NULL, now)
                 for _ in range(takes)]  # fmt: skip
        assert taken == [budget.take(now / SECOND) for _ in range(takes)]


def test_a_rule_has_an_allowance_of_its_own_and_kinds_do_not_share() -> None:
    chooser = Chooser()
    chooser.set([1], budget_percent=[10, 50])
    now = 100 * SECOND
    for _ in range(10):
        chooser.lib.cluster_request(chooser.cluster, 0, now)
    own = chooser.ffi.new("struct tg_allowance *", {"percent": 30.0, "per_s": 0.0})
    assert [chooser.lib.cluster_may_repeat(chooser.cluster, 0, 0, own, now) for _ in range(4)] == [1, 1, 1, 0]
    assert [chooser.lib.cluster_may_repeat(chooser.cluster, 0, 1, chooser.ffi.NULL, now) for _ in range(6)] == [
        1, 1, 1, 1, 1, 0
    ]  # fmt: skip
