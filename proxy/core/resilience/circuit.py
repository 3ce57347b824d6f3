"""Circuit limits: how much of a kind may be under way at one time. What comes on top is answered at once."""

from dataclasses import dataclass


@dataclass(slots=True)
class Circuit:
    """limit: None is no limit. The engine counts the same way (cext/engine/balance/cluster.c)."""

    limit: int | None
    now: int = 0
    overflows: int = 0

    def take(self) -> bool:
        """False: as much as allowed is under way, and nothing is to be given back."""
        if self.limit is not None and self.now >= self.limit:
            self.overflows += 1
            return False
        self.now += 1
        return True

    def give(self) -> None:
        self.now -= 1
