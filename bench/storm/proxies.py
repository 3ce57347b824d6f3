"""What one proxy remembers and decides: all of it is proxy/core's."""

import random
from dataclasses import dataclass, field
from itertools import accumulate

from proxy.core.balance.ewma import PeakEwma
from proxy.core.balance.pick import of_two, pick
from proxy.core.dice import Dice
from proxy.core.policy.settings import Hedging
from proxy.core.policy.upstream import Outlier
from proxy.core.resilience.budget import Budget
from proxy.core.resilience.hedge import Hedger
from proxy.core.resilience.outlier import OutlierDetector

US = 1e6


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """What is on. `careless` is how it is done without this project's budgets, breaker, cap and panic threshold."""

    retries: bool = False
    hedging: bool = False
    ejection: bool = False
    careless: bool = False
    attempts: int = 2
    """Repeats."""
    timeout_s: float = 1.0
    """Of each attempt."""


@dataclass(slots=True)
class _Seen:
    ewma: PeakEwma = field(default_factory=PeakEwma)
    outstanding: int = 0
    in_a_row: int = 0


class SimulatedProxy:
    def __init__(self, mechanisms: Mechanisms, endpoints: int, seed: int) -> None:
        self.mechanisms = mechanisms
        self.chance = random.Random(seed)
        self._dice = Dice(seed)
        self._members = range(endpoints)
        self._weights = [1] * endpoints
        self._ends = list(accumulate(self._weights))
        self._seen: dict[int, _Seen] = {}
        self._budget = Budget(20.0, 3.0)
        self._hedger = Hedger(Hedging())
        settings = Outlier(max_ejection_percent=100) if mechanisms.careless else Outlier(min_health_percent=50)
        self._outliers: OutlierDetector[int] = OutlierDetector(settings)
        self._next_look = 0.0

    def begins(self, now: float) -> None:
        """A first try."""
        self._budget.request(now)
        self._hedger.begun(now)
        if self.mechanisms.ejection and now >= self._next_look:
            self._next_look = now + 1.0
            self._outliers.interval({}, now, self._members)
            self._weigh(now)

    def choose(self, tried: list[int], now: float) -> int:
        def score(index: int) -> float:
            seen = self._seen.get(index)
            return 0.0 if seen is None else seen.ewma.score(seen.outstanding, 1.0, int(now * US))

        found = pick(self._weights, lambda _: True, of_two(score), tried=tried, dice=self._dice, ends=self._ends)
        if not isinstance(found, int):
            raise TypeError("every endpoint admits a request here")
        self._of(found).outstanding += 1
        return found

    def answered(self, endpoint: int, latency_s: float, now: float) -> None:
        seen = self._of(endpoint)
        seen.outstanding -= 1
        seen.ewma = seen.ewma.observed(latency_s * US, int(now * US))
        seen.in_a_row = 0
        self._hedger.answered(latency_s, now)
        if self.mechanisms.ejection and self._outliers.tried(endpoint, True, now):
            self._weigh(now)

    def failed(self, endpoint: int, elapsed_s: float, now: float) -> None:
        seen = self._of(endpoint)
        seen.outstanding -= 1
        seen.ewma = seen.ewma.failed(elapsed_s * US, int(now * US))
        seen.in_a_row += 1
        if not self.mechanisms.ejection:
            return
        tried = self._outliers.tried(endpoint, False, now)
        if not tried and seen.in_a_row >= self._outliers.settings.consecutive_5xx:
            seen.in_a_row = 0
            tried = self._outliers.failed_in_a_row(endpoint, "5xx", now, self._members)
        if tried:
            self._weigh(now)

    def may_retry(self, made: int, now: float) -> bool:
        if not self.mechanisms.retries or made >= self.mechanisms.attempts:
            return False
        return self.mechanisms.careless or self._budget.take(now)

    def hedge_after(self, now: float) -> float | None:
        return self._hedger.delay(now) if self.mechanisms.hedging else None

    def may_hedge(self, now: float) -> bool:
        return self.mechanisms.careless or self._hedger.takes(now)

    def _weigh(self, now: float) -> None:
        opinions = self._outliers.opinions(now)
        out = {one for one, fitness in opinions.items() if not fitness.percent}
        if 100 * (len(self._members) - len(out)) < self._outliers.settings.min_health_percent * len(self._members):
            out = set()
        if len(out) == len(self._members):
            out = set()
        self._weights = [int(one not in out) for one in self._members]
        self._ends = list(accumulate(self._weights))

    def _of(self, endpoint: int) -> _Seen:
        return self._seen.setdefault(endpoint, _Seen())
