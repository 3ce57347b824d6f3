"""The page of the drills, and when an endpoint has its share back."""

from __future__ import annotations

import pytest

from bench.drills.page import BEGIN, END, Result, back_after, put_into, tables

SICK, OTHER = "10.0.0.1", "10.0.0.2"


def test_a_table_for_each_drill() -> None:
    text = tables(
        [
            Result("slow", "one", 200, 3, 2.0, 500.0, 210, None),
            Result("slow", "other", 200, 0, 2.0, 9.0, 200, None),
            Result("recovering", "one", 100, 0, 2.0, 9.0, 100, 4.0),
        ]
    )
    assert "| one | 1.50 % | 2.0 ms | 500.0 ms | +5.0 % |" in text
    assert "| one | 0.00 % | 2.0 ms | 9.0 ms | +0.0 % | 4 s |" in text
    assert text.count("### One of ten is ") == 2


@pytest.mark.parametrize(("counts", "after"), [((0, 0, 0, 0, 0, 5, 5, 5), 1.0), ((0, 0, 0, 0, 0, 0, 0, 0), None)])
def test_a_share_is_back_with_half_of_the_fair_one(counts: tuple[int, ...], after: float | None) -> None:
    seconds = {SICK: dict(enumerate(counts)), OTHER: dict.fromkeys(range(8), 5)}
    assert back_after(seconds, SICK, 2) == after


def test_tables_take_their_place_and_no_other() -> None:
    page = f"a\n{BEGIN}\nold\n{END}\nb\n"
    assert put_into(page, "new\n\n") == f"a\n{BEGIN}\nnew\n{END}\nb\n"
    with pytest.raises(ValueError, match="the page has no"):
        put_into("a", "b")
