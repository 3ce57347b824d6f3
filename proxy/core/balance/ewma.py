"""Peak EWMA: how long an endpoint takes to the first byte of an answer, as far as the recent past tells.

A slower answer than the estimate counts at once and in full; a faster one moves the estimate by the time that has
passed since the last answer. The estimate of an endpoint that nothing is asked of falls until it is tried again. While
a request is under way it does not, so an endpoint that was slow is tried by one request at a time."""

import math
from dataclasses import dataclass

DECAY_S = 4.0
"""After so long without an answer, a third (1/e) of the estimate is left: half a second falls under a millisecond in 25
s, so an endpoint that is well again has its share back within 30 s."""
FAILURE_S = 1.0
"""What a failure counts as: an endpoint that refuses at once must not look like a fast one."""
UNPROVEN_US = 1e15
"""The cost of an endpoint that has been asked for the first time and has not answered yet."""


@dataclass(frozen=True, slots=True)
class PeakEwma:
    """Immutable. Microseconds, as in the engine (cext/engine/balance/ewma.c), which is held to this."""

    cost_us: float = 0.0
    observed_us: int = 0
    """When the last answer came; 0: none has."""

    def observed(self, latency_us: float, now_us: int) -> "PeakEwma":
        """After an answer."""
        now_us = now_us or 1
        if not self.observed_us or latency_us >= self.cost_us:
            return PeakEwma(latency_us, now_us)
        old = self._fading(now_us)
        return PeakEwma(self.cost_us * old + latency_us * (1.0 - old), now_us)

    def answered_with_error(self, latency_us: float, now_us: int) -> "PeakEwma":
        """After a 5xx: one that comes fast says nothing about how fast an answer comes, and must not attract more."""
        return self.observed(latency_us, now_us) if latency_us >= self.cost_us else self

    def failed(self, elapsed_us: float, now_us: int) -> "PeakEwma":
        """After a request that got no answer."""
        return PeakEwma(max(self.cost_us, elapsed_us, FAILURE_S * 1e6), now_us or 1)

    def score(self, outstanding: int, weight: float, now_us: int) -> float:
        """What one more request is expected to cost. weight: relative to the heaviest endpoint's, above 0 to 1; an
        endpoint of half the weight counts each request under way twice."""
        if not outstanding:
            return self.cost_us * self._fading(now_us) if self.observed_us else 0.0
        return (self.cost_us if self.observed_us else UNPROVEN_US) * (1.0 + outstanding / weight)

    def _fading(self, now_us: int) -> float:
        return math.exp(-float(max(0, now_us - self.observed_us)) / (DECAY_S * 1e6))
