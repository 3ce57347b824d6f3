"""What differs between two policies. Parts that both share are the same objects and cost little."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, compress
from operator import is_not

from proxy.core.addresses import UpstreamAddress
from proxy.core.policy.policy import Claims, Cluster, Destination, Key, Policy

Member = tuple[str, UpstreamAddress]
"""A cluster's name and one of its endpoints."""


@dataclass(frozen=True, slots=True)
class Difference:
    outbound: frozenset[Key]
    """Addresses that are claimed otherwise than before, or only in one of the two."""
    inbound: frozenset[Key]
    members_come: frozenset[Member]
    """Endpoints that a cluster has got."""
    members_gone: frozenset[Member]
    clusters_gone: frozenset[str]
    destinations_gone: frozenset[str]


def difference(before: Policy, after: Policy) -> Difference:
    old, new = _unshared(before.clusters, after.clusters)
    members_before, members_after = _members(old), _members(new)
    outbound, inbound = _changed(before.outbound, after.outbound), _changed(before.inbound, after.inbound)
    return Difference(
        outbound=outbound,
        inbound=inbound,
        members_come=frozenset(members_after - members_before),
        members_gone=frozenset(members_before - members_after),
        clusters_gone=_gone({one.name for one in old}, {one.name for one in new}, after.clusters),
        destinations_gone=_gone(
            _names(before.outbound, outbound) | _names(before.inbound, inbound),
            _names(after.outbound, outbound) | _names(after.inbound, inbound),
            chain(after.outbound.values(), after.inbound.values()),
        ),
    )


# Ten thousand Services are gone through at each change, so without a line of Python for each.


def _changed(before: Claims, after: Claims) -> frozenset[Key]:
    if before is after:
        return frozenset()
    others = compress(after, map(is_not, map(before.get, after), after.values()))
    changed = [key for key in others if before.get(key) != after[key]]
    new = sum(key not in before for key in changed)
    if len(before) + new > len(after):
        changed += before.keys() - after.keys()
    return frozenset(changed)


def _unshared(before: tuple[Cluster, ...], after: tuple[Cluster, ...]) -> tuple[list[Cluster], list[Cluster]]:
    """Those that are in one of the two alone; in equally many, also some that have changed places."""
    if before is after:
        return [], []
    if len(before) == len(after):
        pairs = list(compress(zip(before, after, strict=True), map(is_not, before, after)))
        return [old for old, _ in pairs], [new for _, new in pairs]
    old, new = dict(zip(map(id, before), before, strict=True)), dict(zip(map(id, after), after, strict=True))
    return [old[one] for one in old.keys() - new.keys()], [new[one] for one in new.keys() - old.keys()]


def _members(clusters: list[Cluster]) -> set[Member]:
    return {(one.name, endpoint) for one in clusters for endpoint in one.endpoints}


def _names(claims: Claims, keys: frozenset[Key]) -> set[str]:
    return {claims[key].name for key in keys if key in claims}


def _gone(before: set[str], after: set[str], left: Iterable[Cluster | Destination]) -> frozenset[str]:
    """Names of changed things that no unchanged one has either."""
    missing = before - after
    return frozenset(missing - {one.name for one in left} if missing else ())
