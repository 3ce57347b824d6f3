"""How long an endpoint is out, and how it comes back: by one request, whose answer decides."""

from dataclasses import dataclass, replace

MAX_EJECTION_S = 300.0
"""Ejections grow up to so long, or to the base time where that is more."""


@dataclass(frozen=True, slots=True)
class Ejection:
    """Of one endpoint, immutable. Ejected until `until`, then on trial until a request has been answered."""

    why: str
    until: float
    times: int = 1
    """How often in a row; each time doubles the next ejection."""
    in_use_since: float | None = None
    """It has passed its trial and is remembered only because a new ejection would be a longer one."""

    def is_out(self, now: float) -> bool:
        return self.in_use_since is None and now < self.until

    def is_on_trial(self, now: float) -> bool:
        return self.in_use_since is None and now >= self.until

    def passed(self, now: float) -> "Ejection":
        return replace(self, in_use_since=now)

    def is_forgotten(self, now: float, base_s: float) -> bool:
        """After as long in use as it was out the last time."""
        return self.in_use_since is not None and now - self.in_use_since >= duration(base_s, self.times)


def duration(base_s: float, times: int) -> float:
    """base_s, and twice as long each further time."""
    return float(min(base_s * 2 ** min(times - 1, 32), max(MAX_EJECTION_S, base_s)))


def ejected(before: Ejection | None, why: str, now: float, base_s: float) -> Ejection:
    """Begins an ejection, or the next one of an endpoint that has been ejected before."""
    times = 1 if before is None else before.times + 1
    return Ejection(why, now + duration(base_s, times), times)
