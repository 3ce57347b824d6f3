"""Slow start: a new endpoint's share grows from a little to all of it."""

from proxy.core.policy.upstream import Warmup


def percent(age_s: float, warmup: Warmup) -> float:
    """Of its weight, for an endpoint that is `age_s` seconds old. As in Envoy: the part of the duration that is over,
    to the power of 1/aggression, and never less than the minimum."""
    if age_s >= warmup.duration_s:
        return 100.0
    grown: float = 100.0 * (max(0.0, age_s) / warmup.duration_s) ** (1.0 / warmup.aggression)
    return min(100.0, max(warmup.minimum_percent, grown))
