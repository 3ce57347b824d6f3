"""Round robin by weight."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.balance.turns import Turns


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.floats(0, 1, exclude_max=True), st.integers(1, 9))
def test_each_round_gives_each_what_it_weighs(weights: list[int], first: float, scale: int) -> None:
    turns, total = Turns(), sum(weights)
    for _ in range(3):
        seen = Counter(turns.next("x", [scale * one for one in weights], lambda: first) for _ in range(total))
        assert seen == dict(enumerate(weights))


def test_a_cluster_that_comes_back_begins_anywhere() -> None:
    turns = Turns()
    assert [turns.next("x", [1, 1, 1], lambda: 0.0) for _ in range(2)] == [0, 2]
    turns.forget(["x", "unknown"])
    assert turns.next("x", [1, 1, 1], lambda: 0.0) == 0
