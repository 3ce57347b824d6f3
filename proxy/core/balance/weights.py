"""Each endpoint's part of a destination's connections, in whole numbers, for the lanes that choose by weight alone."""

from collections.abc import Iterable
from functools import reduce
from math import gcd, lcm
from typing import NamedTuple

from proxy.core.addresses import UpstreamAddress
from proxy.core.policy.policy import Cluster, Target
from proxy.core.resilience.health import Health, usable

MAX_WEIGHT = (1 << 32) - 1
"""Of all endpoints of a destination together: what the engine and the kernel reckon with."""


class Part(NamedTuple):
    cluster: Cluster
    endpoint: UpstreamAddress
    weight: int
    """At least 1."""


def parts(targets: Iterable[Target], health: Health) -> list[Part]:
    """Of every usable endpoint of every target that has a weight and a cluster, in order, in the smallest whole
    numbers; rounded where those add up to more than MAX_WEIGHT. A target without endpoints has no part."""
    shared = [
        (target.weight, target.cluster, fit)
        for target in targets
        if target.weight and target.cluster is not None and (fit := usable(target.cluster, health))
    ]
    if not shared:
        return []
    totals = [sum(one.percent for one in fit) for _, _, fit in shared]
    common = lcm(*totals)
    exact = [
        weight * (common // total) * one.percent
        for (weight, _, fit), total in zip(shared, totals, strict=True)
        for one in fit
    ]
    members = [(cluster, one.endpoint) for _, cluster, fit in shared for one in fit]
    return [Part(*member, weight) for member, weight in zip(members, _reduced(exact), strict=True)]


def _reduced(weights: list[int]) -> list[int]:
    divisor = reduce(gcd, weights)
    total = sum(weights) // divisor
    if total <= MAX_WEIGHT:
        return [weight // divisor for weight in weights]
    room = MAX_WEIGHT - len(weights)
    return [1 + weight // divisor * room // total for weight in weights]
