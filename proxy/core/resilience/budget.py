"""How many requests may be repeated: a percentage of the requests of the last ten seconds, and some a second besides,
which may be saved up for ten seconds. The engine's (cext/engine/balance/budget.c) is held to this.

Seconds are whole ones of the clock: requests count for nine to ten seconds, what was taken for ten to eleven, so the
percentage holds for any ten seconds."""

from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 10
_ROUNDING_S = 1e-9


@dataclass(slots=True)
class _Second:
    number: int
    requests: int = 0
    taken: int = 0


@dataclass(slots=True)
class Budget:
    percent: float
    per_s: float = 0.0
    _seconds: deque[_Second] = field(default_factory=deque)
    _spent_until: float = float("-inf")
    """What is saved up, as the moment until which it is spent: all of it if that lies WINDOW_S back."""

    def request(self, now: float) -> None:
        """A request has begun: the first try of it alone."""
        self._present(now).requests += 1

    def take(self, now: float) -> bool:
        """One more attempt; False: the budget is used up."""
        present = self._present(now)
        requests = sum(one.requests for one in self._seconds if present.number - one.number < WINDOW_S)
        taken = sum(one.taken for one in self._seconds)
        if (taken + 1) * 100.0 <= self.percent * requests:
            present.taken += 1
            return True
        if self.per_s <= 0:
            return False
        then = max(self._spent_until, now - WINDOW_S, 0.0) + 1.0 / self.per_s
        if then > now + _ROUNDING_S:
            return False
        self._spent_until = then
        return True

    def _present(self, now: float) -> _Second:
        number = int(now)
        while self._seconds and number - self._seconds[0].number > WINDOW_S:
            self._seconds.popleft()
        if not self._seconds or self._seconds[-1].number != number:
            self._seconds.append(_Second(number))
        return self._seconds[-1]
