"""The page of faults: what is seen stands in it, and a broken promise can't be overlooked."""

from __future__ import annotations

from pathlib import Path

from scripts.faults.catalogue import FAULTS
from scripts.faults.model import Seen
from scripts.faults.page import page

ROOT = Path(__file__).resolve().parents[3]


def test_what_was_seen_stands_in_the_table() -> None:
    name = next(iter(FAULTS))
    one = FAULTS[name]
    text = page({name: Seen("all | well", 0.25)}, FAULTS, "6.18", 2)
    assert f"| {one.name} | {one.promise} | all \\| well | 250 ms |" in text
    assert "Linux 6.18, 2 processors" in text
    assert "| 1.5 s |" in page({name: Seen("", 1.5)}, FAULTS, "6.18", 2)
    assert "| - |" in page({name: Seen("")}, FAULTS, "6.18", 2)


def test_a_broken_promise_stands_out() -> None:
    text = page({next(iter(FAULTS)): "3 == 4\nno"}, FAULTS, "6.18", 2)
    assert "| **not as promised**: 3 == 4 no |" in text


def test_the_page_that_is_there_has_every_fault_and_every_promise_held() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert [one.name for one in FAULTS.values() if f"| {one.name} |" not in text] == []
    assert "not as promised" not in text
