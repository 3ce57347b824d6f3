"""An endpoint for a connection that is decided here: first the target by weight, then one of its endpoints."""

from collections.abc import Collection, Sequence

from proxy.core.addresses import UpstreamAddress
from proxy.core.balance.loads import Loads
from proxy.core.balance.turns import Turns
from proxy.core.dice import Random
from proxy.core.policy.policy import Balancing, Cluster, Target
from proxy.core.resilience.health import Health, Usable, usable

SCAN_LIMIT = 64
"""Up to so many endpoints the least loaded is looked for; beyond, the less loaded of two random ones is taken."""


def pick_target(
    targets: Sequence[Target], health: Health, excluded: Collection[UpstreamAddress], random: Random
) -> int | None:
    """Index of one of the targets by weight. Those whose endpoints are all excluded are passed over, so that a retry
    goes to a target that still has one; on the first try a target without any keeps its share. None: all weights
    are 0."""
    weights = [0 if _is_spent(target, health, excluded) else target.weight for target in targets]
    return by_weight(weights, random) if any(weights) else None


def _is_spent(target: Target, health: Health, excluded: Collection[UpstreamAddress]) -> bool:
    if not excluded:
        return False
    return target.cluster is None or all(one.endpoint in excluded for one in usable(target.cluster, health))


def choose(
    cluster: Cluster,
    fit: Sequence[Usable],
    loads: Loads,
    turns: Turns,
    random: Random,
) -> UpstreamAddress | None:
    """One of the usable endpoints by the cluster's balancing; None: there is none."""
    if len(fit) < 2:
        return fit[0].endpoint if fit else None
    match cluster.balancing:
        case Balancing.ROUND_ROBIN:
            return fit[turns.next(cluster.name, [one.percent for one in fit], random)].endpoint
        case Balancing.LEAST_REQUEST:
            return _least(cluster.name, _with_trials_by_chance(fit, random), loads, random)
        case _:
            return fit[by_weight([one.percent for one in fit], random)].endpoint


def _with_trials_by_chance(fit: Sequence[Usable], random: Random) -> Sequence[Usable]:
    """The one on trial alone, as often as its weight says; otherwise those that are on none. Compared by load it would
    never be tried where there is little to do."""
    proven = [one for one in fit if not one.trial]
    if not proven or len(proven) == len(fit):
        return fit
    drawn = fit[by_weight([one.percent for one in fit], random)]
    return [drawn] if drawn.trial else proven


def by_weight(weights: Sequence[int], random: Random) -> int:
    """An index; at least one weight is positive."""
    point = random() * sum(weights)
    for index, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return index
    return max(index for index, weight in enumerate(weights) if weight)  # what rounding has left over


def _least(cluster: str, fit: Sequence[Usable], loads: Loads, random: Random) -> UpstreamAddress:
    """The least loaded, where an endpoint that is fit for half its weight counts its connections twice."""
    if len(fit) > SCAN_LIMIT:
        first = int(random() * len(fit))
        second = (first + 1 + int(random() * (len(fit) - 1))) % len(fit)
        fit = (fit[first], fit[second])
    burdens = [(1 + loads.active_of(cluster, one.endpoint)) / one.percent for one in fit]
    least = min(burdens)
    idle = [one.endpoint for one, burden in zip(fit, burdens, strict=True) if burden == least]
    return idle[int(random() * len(idle))]
