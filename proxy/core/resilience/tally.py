"""What the lanes have counted of an endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one endpoint in one lane since some beginning. good: connections made, or answers that are no 5xx; statuses:
    how often each came of those that the lane tells apart. sequential: failures in a row are told by other means."""

    good: int = 0
    bad: int = 0
    statuses: Mapping[int, int] = field(default_factory=dict)
    sequential: bool = False

    def since(self, before: "Tally") -> "Tally":
        """What has come on top. Counts that have gone back began anew, and then all of them count."""
        if self.good < before.good or self.bad < before.bad:
            return self
        statuses = {status: more for status, n in self.statuses.items() if (more := n - before.statuses.get(status, 0))}
        return Tally(self.good - before.good, self.bad - before.bad, statuses, self.sequential)
