"""Localities: the nearest endpoints get everything while they are well, and the next nearest what these can't take."""

from collections.abc import Sequence

from proxy.core.policy.cluster import Locality
from proxy.core.policy.upstream import LocalitySettings

OVERPROVISIONING = 1.4
"""As in Envoy: a level takes all of its load until fewer than 1/1.4, about 71 %, of its endpoints are well."""
UNIT = 10_000
"""What the shares of one cluster add up to, about."""


def level(of: Locality, own: Locality, settings: LocalitySettings) -> int:
    """How far away an endpoint is, from 0: the same subzone, zone, region; the region that `failover` names; others."""
    if of == own:
        return 0
    if of[:2] == own[:2]:
        return 1
    if of.region == own.region:
        return 2
    wanted = dict(settings.failover).get(own.region)
    return 3 if wanted in (None, of.region) else 4


def loads(fit: Sequence[float]) -> list[float]:
    """Each level's share of the load. fit: the part of the level's endpoints that is well, 0 to 1, nearest first.

    A level takes what its endpoints can bear, the next one what is left. When all together can't bear it, each takes in
    proportion."""
    bears = [min(1.0, OVERPROVISIONING * each) for each in fit]
    total = min(1.0, sum(bears))
    if not total:
        return [0.0 for _ in fit]
    left, found = 1.0, []
    for each in bears:
        share = min(left, each / total)
        found.append(share)
        left -= share
    return found


def weights(
    percents: Sequence[int], places: Sequence[Locality], own: Locality, settings: LocalitySettings
) -> list[int]:
    """Each endpoint's weight. percents: how fit each is, 0 to 100; places: where each is, in the same order. With
    `distribute` each place has the share that the settings say, whether it is well or not."""
    if not settings.enabled or not places:
        return list(percents)
    rule = next((one for one in settings.distribute if _covers(one.source, own)), None)
    if rule is not None:
        groups = [next((n for n, (to, _) in enumerate(rule.to) if _covers(to, place)), None) for place in places]
        return _shared(percents, groups, [percent / 100 for _, percent in rule.to])
    levels = [level(place, own, settings) for place in places]
    ranks = sorted(set(levels))
    fit = [
        sum(p for p, at in zip(percents, levels, strict=True) if at == rank) / (100 * levels.count(rank))
        for rank in ranks
    ]
    return _shared(percents, [ranks.index(at) for at in levels], loads(fit))


def _shared(percents: Sequence[int], groups: Sequence[int | None], shares: Sequence[float]) -> list[int]:
    """Each group's share among its members, by how fit they are; at least 1 for one that is fit and has a share."""
    totals = [sum(p for p, at in zip(percents, groups, strict=True) if at == group) for group in range(len(shares))]
    return [
        0
        if group is None or not percent or not shares[group]
        else max(1, round(UNIT * shares[group] * percent / totals[group]))
        for percent, group in zip(percents, groups, strict=True)
    ]


def _covers(pattern: str, place: Locality) -> bool:
    """pattern: region/zone/subzone, where `*` stands for all that begin so."""
    for wanted, part in zip(pattern.split("/"), place, strict=False):
        if wanted == "*":
            return True
        if wanted != part:
            return False
    return True
