"""Endpoints that queue, and events in the order of time."""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

Event = Callable[[float], None]


class Schedule:
    """Events by time; of one moment, in the order in which they were planned."""

    def __init__(self) -> None:
        self._events: list[tuple[float, int, Event]] = []
        self._numbers = itertools.count()

    def at(self, time: float, event: Event) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), event))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            time, _, event = heapq.heappop(self._events)
            event(time)


@dataclass(slots=True)
class Endpoint:
    """One server that works on one request after the other. It does not notice that a caller has given up, so work for
    callers who no longer wait is what an overload feeds on."""

    service_s: float = 0.25
    """On average; the times are exponential."""
    longest_queue_s: float = 0.8
    """Whoever would wait longer is answered 503 at once."""
    free_at: float = 0.0
    served: int = 0

    def arrive(self, now: float, dice: random.Random) -> float | None:
        """When the answer comes; None: 503, at once."""
        begin = max(now, self.free_at)
        if begin - now > self.longest_queue_s:
            return None
        self.served += 1
        self.free_at = begin + dice.expovariate(1 / self.service_s)
        return self.free_at


@dataclass(slots=True)
class Counted:
    """By second."""

    offered: dict[int, int] = field(default_factory=dict)
    """First tries."""
    attempts: dict[int, int] = field(default_factory=dict)
    good: dict[int, int] = field(default_factory=dict)
    """Requests that got an answer in time, by the second in which they began."""
    refused: dict[int, int] = field(default_factory=dict)
    """Attempts that were answered 503."""

    @staticmethod
    def add(where: dict[int, int], time: float) -> None:
        where[int(time)] = where.get(int(time), 0) + 1

    def rate(self, where: dict[int, int], begin: int, end: int) -> float:
        """A second, on average from begin to end."""
        return sum(where.get(second, 0) for second in range(begin, end)) / (end - begin)
