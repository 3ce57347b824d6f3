"""How much of each destination's rate limit is left: a bucket that fills at the limit's rate, up to its burst."""

from collections.abc import Iterable

from proxy.core.policy.policy import RateLimit


class RateLimits:
    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}
        """(tokens, when they were counted) by destination."""

    def admits(self, name: str, limit: RateLimit, now: float) -> bool:
        """Takes one connection from the rate limit of the destination `name`. False: none is left."""
        tokens, since = self._buckets.get(name, (float(limit.burst), now))
        tokens = min(float(limit.burst), tokens + max(0.0, now - since) * limit.per_s)
        admitted = tokens >= 1.0
        self._buckets[name] = (tokens - 1.0 if admitted else tokens, now)
        return admitted

    def forget(self, destinations: Iterable[str]) -> None:
        for name in destinations:
            self._buckets.pop(name, None)
