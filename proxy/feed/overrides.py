"""Changes that were made at run time, on top of what a source of policy says."""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.core.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Override:
    """what: for people. apply: raises ValueError where it does not fit. keep: outlives a reload. keys: what it sets; an
    earlier one goes when the new one has all of its keys."""

    what: str
    apply: Callable[[Policy], Policy]
    keep: bool
    keys: frozenset[object]


class Overrides:
    """In the order in which they were made."""

    def __init__(self) -> None:
        self._all: list[Override] = []

    def add(self, policy: Policy, new: Override) -> Policy:
        """What is in force with `new` on top of the others; policy: as the source says. Raises ValueError, and then
        nothing has changed."""
        left = [one for one in self._all if not one.keys <= new.keys]
        changed = new.apply(self._applied(policy, left)[0])
        self._all = [*left, new]
        return changed

    def discard(self, one: Override) -> None:
        """It could not be put in force."""
        self._all = [other for other in self._all if other is not one]

    def on(self, policy: Policy) -> tuple[Policy, list[str]]:
        """What is in force of a policy that the source has changed, and what does not fit it any more, in words."""
        return self._applied(policy, self._all)

    def reloaded(self, policy: Policy) -> tuple[Policy, list[str]]:
        """What is in force of a policy that has just been read, and what can't be kept, in words."""
        self._all = [one for one in self._all if one.keep]
        return self._applied(policy, self._all)

    @staticmethod
    def _applied(policy: Policy, overrides: list[Override]) -> tuple[Policy, list[str]]:
        wrong: list[str] = []
        for one in overrides:
            try:
                policy = one.apply(policy)
            except ValueError as unfit:
                wrong.append(f"{one.what} was to be kept and does not fit any more: {unfit}")
        return policy, wrong
