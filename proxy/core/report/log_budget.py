"""A bound on repetitive log lines: whoever can make us refuse connections must not be able to fill the log with it."""


class LogBudget:
    """At most `lines` a period of `period_s` seconds. Times are of one monotonic clock, passed in by the caller."""

    def __init__(self, lines: int = 10, period_s: float = 1.0) -> None:
        self._lines = lines
        self._period_s = period_s
        self._period_began = float("-inf")
        self._used = 0
        self._suppressed = 0

    def take(self, now: float) -> int | None:
        """None: write nothing. Else write the line; the number is how many were left out since the last one."""
        if now - self._period_began >= self._period_s:
            self._period_began = now
            self._used = 0
        if self._used >= self._lines:
            self._suppressed += 1
            return None
        self._used += 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
