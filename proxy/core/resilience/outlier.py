"""Outlier detection of one cluster: which endpoints are ejected for what they did, for how long, and how they return.

What happened comes in by `failed_in_a_row`, `tried` and `interval`; what follows goes out by `opinions`. Every lane
tells and every lane hears: an endpoint that one lane found dead gets nothing from the others."""

from collections.abc import Collection, Hashable, Mapping
from typing import Generic, TypeVar

from proxy.core.policy.upstream import Outlier
from proxy.core.resilience.ejection import Ejection, ejected
from proxy.core.resilience.health import Fitness
from proxy.core.resilience.success_rate import Answers, outliers

E = TypeVar("E", bound=Hashable)

TRIAL_PERCENT = 10
"""Of its weight that an endpoint on trial has, in lanes that can't hold it to one request at a time."""


class OutlierDetector(Generic[E]):
    def __init__(self, settings: Outlier) -> None:
        self.settings = settings
        self._ejections: dict[E, Ejection] = {}

    def failed_in_a_row(self, endpoint: E, why: str, now: float, members: Collection[E]) -> bool:
        """As many failures as the settings allow have come one after the other. False: nothing follows, because the
        endpoint is out already, or because too many others are."""
        known = self._ejections.get(endpoint)
        if known is not None and known.in_use_since is None:
            return self.tried(endpoint, False, now, why)
        if endpoint not in members or not self._has_room(members):
            return False
        self._ejections[endpoint] = ejected(known, why, now, self.settings.base_ejection_s)
        return True

    def tried(self, endpoint: E, passed: bool, now: float, why: str = "the trial failed") -> bool:
        """A request to an endpoint on trial has been answered, or has failed. False: it is not on trial."""
        known = self._ejections.get(endpoint)
        if known is None or not known.is_on_trial(now):
            return False
        self._ejections[endpoint] = (
            known.passed(now) if passed else ejected(known, why, now, self.settings.base_ejection_s)
        )
        return True

    def interval(self, answers: Mapping[E, Answers], now: float, members: Collection[E]) -> bool:
        """To be called at each end of an interval. Whether an endpoint was ejected by its success rate."""
        base_s = self.settings.base_ejection_s
        self._ejections = {
            one: ejection
            for one, ejection in self._ejections.items()
            if one in members and not ejection.is_forgotten(now, base_s)
        }
        if self.settings.success_rate is None:
            return False
        found = outliers(self.settings.success_rate, answers)
        worst_first = sorted(found, key=lambda one: answers[one].good / answers[one].total)
        # Each one, also where the first was ejected: `any` would stop there.
        return sum(self.failed_in_a_row(one, found[one], now, members) for one in worst_first) > 0

    def opinions(self, now: float) -> dict[E, Fitness]:
        """Of endpoints that are out or on trial."""
        return {
            one: Fitness(
                0,
                f"ejected {ejection.times} times in a row: {ejection.why}"
                if ejection.times > 1
                else f"ejected: {ejection.why}",
            )
            if ejection.is_out(now)
            else Fitness(TRIAL_PERCENT, f"on trial after: {ejection.why}", trial=True)
            for one, ejection in self._ejections.items()
            if ejection.in_use_since is None
        }

    def _has_room(self, members: Collection[E]) -> bool:
        """As in Envoy: another one may be ejected as long as fewer than the percentage are, so one always may unless
        the percentage is 0."""
        out = sum(one in members and ejection.in_use_since is None for one, ejection in self._ejections.items())
        return 100 * out < self.settings.max_ejection_percent * len(members)
