"""A live quantile of times over the last thirty seconds: counts in buckets that grow by a twentieth, so an estimate is
at most five percent above the true value. Memory does not depend on how many times are told."""

import math
from collections import deque

WINDOW_S = 30
SLICE_S = 3
"""What is forgotten at a time."""
GROWTH = 1.05
SHORTEST_S = 0.0001
BUCKETS = 284
"""From SHORTEST_S to a hundred seconds; what is longer counts as that."""
LEAST = 50
"""Fewer times than that give no estimate."""

_LOG_GROWTH = math.log(GROWTH)


def bucket_of(seconds: float) -> int:
    if seconds <= SHORTEST_S:
        return 0
    return min(BUCKETS - 1, math.ceil(math.log(seconds / SHORTEST_S) / _LOG_GROWTH))


def upper_end(bucket: int) -> float:
    return float(SHORTEST_S * GROWTH**bucket)


class LiveQuantile:
    def __init__(self) -> None:
        self._slices: deque[tuple[int, list[int]]] = deque()

    def told(self, seconds: float, now: float) -> None:
        self._forget(now)
        number = int(now // SLICE_S)
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append((number, [0] * BUCKETS))
        self._slices[-1][1][bucket_of(seconds)] += 1

    def estimate(self, quantile: float, now: float) -> float | None:
        """The time that the fraction `quantile` of what was told does not exceed; None: too little was told."""
        self._forget(now)
        counts = [sum(each) for each in zip(*(counts for _, counts in self._slices), strict=True)]
        total = sum(counts)
        if total < LEAST:
            return None
        below = 0
        for bucket, count in enumerate(counts):
            below += count
            if below >= quantile * total:
                return upper_end(bucket)
        return upper_end(BUCKETS - 1)

    def _forget(self, now: float) -> None:
        while self._slices and int(now // SLICE_S) - self._slices[0][0] >= WINDOW_S // SLICE_S:
            self._slices.popleft()
