"""Outliers by success rate: endpoints that do markedly worse than the others of their cluster."""

from collections.abc import Hashable, Mapping
from statistics import fmean, pstdev
from typing import NamedTuple, TypeVar

from proxy.core.policy.upstream import SuccessRate

E = TypeVar("E", bound=Hashable)


class Answers(NamedTuple):
    """What an endpoint did in one interval."""

    good: int
    total: int


def outliers(settings: SuccessRate, answers: Mapping[E, Answers]) -> dict[E, str]:
    """Those whose success rate is below the mean by `stdev_factor` standard deviations, and why. Endpoints with fewer
    than `request_volume` answers are not judged, and nobody is if fewer than `minimum_hosts` endpoints can be."""
    rates = {
        one: each.good / each.total for one, each in answers.items() if each.total >= max(1, settings.request_volume)
    }
    if len(rates) < max(2, settings.minimum_hosts):
        return {}
    mean = fmean(rates.values())
    least = mean - settings.stdev_factor * pstdev(rates.values(), mean)
    return {
        one: f"success rate {100 * rate:.1f} % against {100 * mean:.1f} % on average"
        for one, rate in rates.items()
        if rate < least
    }
