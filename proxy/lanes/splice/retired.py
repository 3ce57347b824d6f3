"""Verdicts that were replaced: when no connection can be told of by one any more."""

import time
from collections.abc import Callable, Iterable, Iterator

from cext.engine.values import Record

BUDGET_S = 0.002
"""Of each call: ten thousand connections take several calls."""


class RetiredVerdicts:
    """batches: begins to go through the connections that are open, so many at a time.

    A verdict that is retired before a pass over all connections begins, and that none of them has, gets no connection
    any more. Its last record may still be under way: it is forgotten a pass later.
    """

    def __init__(self, batches: Callable[[], Iterator[list[Record]]]) -> None:
        self._batches = batches
        self._pass: Iterator[list[Record]] | None = None
        self._new: set[int] = set()
        """Retired since the pass began."""
        self._unseen: set[int] = set()
        """Retired before, and of no connection that the pass has seen."""
        self._used: set[int] = set()
        self._leaving: set[int] = set()

    def add(self, verdict: int) -> None:
        self._new.add(verdict)

    def forget(self) -> Iterable[int]:
        """Goes on with the pass for BUDGET_S; returns the verdicts to forget when it ends."""
        if self._pass is None:
            if not (self._new or self._used or self._leaving):
                return ()
            self._unseen, self._used, self._new = self._new | self._used, set(), set()
            self._pass = self._batches()
        end = time.monotonic() + BUDGET_S
        for batch in self._pass:
            seen = {record.verdict for record in batch} & (self._unseen | self._leaving)
            self._unseen -= seen
            self._leaving -= seen
            self._used |= seen
            if time.monotonic() >= end:
                return ()
        self._pass = None
        gone, self._leaving, self._unseen = self._leaving, self._unseen, set()
        return gone
