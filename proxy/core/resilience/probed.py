"""Active health checks: an endpoint's state by the checks that passed and failed one after the other."""

from dataclasses import dataclass, replace

from proxy.core.policy.upstream import HealthCheck


@dataclass(frozen=True, slots=True)
class Probed:
    """Of one endpoint and one check, immutable. It counts as well until checks have said otherwise: a proxy that has
    just started must not refuse what it has not looked at."""

    well: bool = True
    in_a_row: int = 0
    """Results that contradict `well`, one after the other."""
    why: str = ""
    """The last failure."""

    def result(self, check: HealthCheck, problem: str | None) -> "Probed":
        """After a check; problem: why it failed, None: it passed."""
        if (problem is None) == self.well:
            return replace(self, in_a_row=0, why=problem or self.why)
        in_a_row = self.in_a_row + 1
        needed = check.unhealthy_threshold if self.well else check.healthy_threshold
        if in_a_row < needed:
            return replace(self, in_a_row=in_a_row, why=problem or self.why)
        return Probed(well=not self.well, why=problem or "")


def judged(check: HealthCheck, status: int) -> str | None:
    """Why an HTTP status is a failure; None: it is expected."""
    if any(low <= status <= high for low, high in check.expected):
        return None
    return f"{check.method} {check.path} answered {status}"
