"""Drawing an endpoint by weight while some are out of the question."""

from bisect import bisect_right, insort
from collections.abc import Sequence
from itertools import accumulate

MOST = 32
"""Endpoints that one choice may exclude: more are not looked for by drawing."""


class Excluded:
    """Of one choice. weights: of all endpoints; those of weight 0 are never drawn. ends: the weights' running sum, for
    a caller that has it already."""

    def __init__(self, weights: Sequence[int], ends: Sequence[int] | None = None) -> None:
        self._weights = weights
        self._ends = list(accumulate(weights)) if ends is None else ends
        self._indices: list[int] = []
        self.weight = 0

    def __contains__(self, index: int) -> bool:
        return index in self._indices

    @property
    def total(self) -> int:
        return self._ends[-1] if self._ends else 0

    def add(self, index: int) -> bool:
        """False: it is excluded already, has no weight, or there is no room."""
        if not self._weights[index] or index in self._indices or len(self._indices) == MOST:
            return False
        insort(self._indices, index)
        self.weight += self._weights[index]
        return True

    def draw(self, number: int) -> int | None:
        """By weight, from 64 random bits; None: all are excluded."""
        left = self.total - self.weight
        if not left:
            return None
        ticket = number * left >> 64
        for index in self._indices:
            if ticket >= self._ends[index] - self._weights[index]:
                ticket += self._weights[index]
        return self.at(ticket)

    def at(self, ticket: int) -> int:
        """The endpoint that a ticket from 0 to total - 1 belongs to."""
        return bisect_right(self._ends, ticket)
