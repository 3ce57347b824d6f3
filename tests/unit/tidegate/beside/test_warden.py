"""How long a warden waits before it starts another companion."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.beside.warden import FIRST_WAIT_S, LONGEST_WAIT_S, wait_s


def test_it_doubles_up_to_a_bound() -> None:
    assert [wait_s(deaths) for deaths in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


@given(st.integers(1, 10**9))
def test_it_is_bounded_and_never_shrinks(deaths: int) -> None:
    assert FIRST_WAIT_S <= wait_s(deaths) <= wait_s(deaths + 1) <= LONGEST_WAIT_S
