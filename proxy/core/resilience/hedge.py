"""Hedging: a second request to another endpoint when the first has outlived what most requests take.

Two things keep hedges from feeding a storm: a budget of their own, and a breaker. When far more requests outlive the
quantile than it says, it is not one endpoint that is slow but all of them, and more requests would make it worse."""

from dataclasses import dataclass, field

from proxy.core.policy.settings import Hedging
from proxy.core.resilience.budget import Budget
from proxy.core.resilience.quantile import LiveQuantile

BREAKER_FACTOR = 2.0
"""The breaker opens when so many times as many requests are slow as the quantile says."""
BREAKER_S = 10.0
"""How long it stays open."""
BREAKER_LEAST = 20
"""Slow requests in a round before the breaker is asked."""
ROUND_S = 1.0
_ROUNDING = 1e-9


@dataclass(slots=True)
class Hedger:
    """Of one route. `begun` for each request, `answered` with its time to first byte as the caller saw it."""

    settings: Hedging
    times: LiveQuantile = field(default_factory=LiveQuantile)
    budget: Budget = field(init=False)
    open_until: float = float("-inf")
    _round: float = float("-inf")
    _begun: int = 0
    _slow: int = 0

    def __post_init__(self) -> None:
        self.budget = Budget(self.settings.budget_percent)

    def begun(self, now: float) -> None:
        self._turn(now)
        self._begun += 1
        self.budget.request(now)

    def answered(self, seconds: float, now: float) -> None:
        self.times.told(seconds, now)

    def delay(self, now: float) -> float | None:
        """When to send the second request, in seconds after the first; None: not at all."""
        estimate = self.times.estimate(self.settings.quantile, now)
        return None if estimate is None else max(estimate, self.settings.min_delay_s)

    def takes(self, now: float) -> bool:
        """A request has outlived the delay: whether a second one is sent. A caller that may not send the request twice
        (see `retry`) does not ask."""
        self._turn(now)
        self._slow += 1
        if now < self.open_until:
            return False
        bearable = BREAKER_FACTOR * (1 - self.settings.quantile) * self._begun
        if self._slow >= BREAKER_LEAST and self._slow > bearable + _ROUNDING:
            self.open_until = now + BREAKER_S
            return False
        return self.budget.take(now)

    def _turn(self, now: float) -> None:
        if now - self._round >= ROUND_S:
            self._round, self._begun, self._slow = now, 0, 0
