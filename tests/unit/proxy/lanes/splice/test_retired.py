"""Verdicts are forgotten when no connection can be told of by them, whatever the engine shows in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cext.engine.values import Record
from proxy.lanes.splice import retired
from proxy.lanes.splice.retired import RetiredVerdicts


class One:
    def __init__(self, verdict: int) -> None:
        self.verdict = verdict


class Engine:
    """Connections by verdict, two a batch."""

    def __init__(self) -> None:
        self.verdicts: list[int] = []
        self.batches_told = 0

    def batches(self) -> Iterator[list[Record]]:
        for first in range(0, len(self.verdicts), 2):
            self.batches_told += 1
            yield cast("list[Record]", [One(verdict) for verdict in self.verdicts[first : first + 2]])


def passes(one: RetiredVerdicts, count: int) -> set[int]:
    return {verdict for _ in range(count) for verdict in one.forget()}


def test_one_without_connections_is_forgotten_a_pass_later() -> None:
    engine = Engine()
    one = RetiredVerdicts(engine.batches)
    one.add(1)
    assert passes(one, 1) == set()
    assert passes(one, 1) == {1}
    assert passes(one, 3) == set()
    assert engine.batches_told == 0


def test_one_with_connections_stays_until_they_have_ended() -> None:
    engine = Engine()
    engine.verdicts = [1, 2, 1, 3]
    one = RetiredVerdicts(engine.batches)
    for verdict in (1, 2):
        one.add(verdict)
    assert passes(one, 5) == set()
    engine.verdicts = [1]
    assert passes(one, 2) == {2}
    engine.verdicts = []
    assert passes(one, 2) == {1}


def test_each_call_does_a_bounded_part_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    engine.verdicts = [7] * 100
    one = RetiredVerdicts(engine.batches)
    one.add(1)
    monkeypatch.setattr(retired, "BUDGET_S", 0.0)
    passes(one, 1)
    assert engine.batches_told == 1
    assert passes(one, 49 + 1) == set()
    assert passes(one, 51) == {1}


@given(st.lists(st.tuples(st.sampled_from(["open", "end", "retire", "forget"]), st.integers(1, 4)), max_size=40))
def test_none_is_forgotten_while_a_connection_has_it(steps: list[tuple[str, int]]) -> None:
    """A connection opens with a verdict only before that is retired."""
    engine = Engine()
    gone: set[int] = set()
    retired_: set[int] = set()
    one = RetiredVerdicts(engine.batches)
    for what, verdict in steps:
        if what == "open" and verdict not in retired_:
            engine.verdicts.append(verdict)
        elif what == "end" and verdict in engine.verdicts:
            engine.verdicts.remove(verdict)
        elif what == "retire" and verdict not in retired_:
            retired_.add(verdict)
            one.add(verdict)
        elif what == "forget":
            gone |= set(one.forget())
        assert not gone & set(engine.verdicts)
    left = set(engine.verdicts)
    gone |= passes(one, 3)
    assert gone == retired_ - left
