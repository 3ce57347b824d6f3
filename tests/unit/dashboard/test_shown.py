"""What a page gets: nothing in a text that a reader would not see as it is, and few rows of many."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dashboard.shown import LONGEST, MOST, plain, some

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(anything)
def test_every_text_is_printable_and_json(value: object) -> None:
    shown = plain(value)
    text = json.dumps(shown)
    assert json.loads(text) == shown
    assert json.dumps(shown, ensure_ascii=False).isprintable()
    assert plain(shown) == shown


def test_what_a_reader_would_not_see_is_escaped() -> None:
    assert plain("a\u202egnp.exe\x1b[31m\ud800\u2028") == r"a\x202egnp.exe\x1b[31m\xd800\x2028"
    assert len(plain("x" * 10 * LONGEST)) == LONGEST + 1


def test_rows_that_are_too_many_are_counted() -> None:
    rows = [{"service": f"shop/{number}", "hidden": "x"} for number in range(MOST + 7)]
    assert some(rows, "", ("service",)) == {"rows": rows[:MOST], "left_out": 7}
    assert some(rows, "shop/201", ("service",)) == {"rows": [rows[201]], "left_out": 0}
    assert some(rows, "x", ("service",)) == {"rows": [], "left_out": 0}
