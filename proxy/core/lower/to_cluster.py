"""What a cluster becomes in the engine: each endpoint's weight for requests, and how one of them is chosen."""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.core.addresses import UpstreamAddress
from proxy.core.balance.hashed import HashTable
from proxy.core.balance.locality import weights as by_locality
from proxy.core.balance.maglev import maglev
from proxy.core.balance.ring import ring
from proxy.core.policy.cluster import Cluster, Locality
from proxy.core.policy.upstream import ConsistentHash, HttpBalancing, Limits
from proxy.core.policy.upstream import HashTable as Table
from proxy.core.resilience.health import Health, usable

NO_TABLE = HashTable(())
PARTS = 20
"""Of the heaviest endpoint's weight: as finely as a consistent hash tells weights apart."""
NOWHERE_KNOWN = Locality()


@dataclass(frozen=True, slots=True)
class Choosing:
    """Everything in the order of the cluster's endpoints. weight 0: ejected, or too far away to be needed."""

    endpoints: tuple[UpstreamAddress, ...]
    weights: tuple[int, ...]
    trials: tuple[bool, ...]
    """To be tried by one request at a time."""
    method: HttpBalancing
    table: HashTable
    hash: ConsistentHash | None
    """What the table is looked up by."""
    affinity_s: float | None
    """How long a client's requests go to the same endpoint; None: no affinity."""
    in_a_row: tuple[int, int, int]
    """5xx, gateway errors and failures without an answer that are to be told of; 0: not at all."""
    split_local: bool
    limits: Limits
    connect_s: float | None


def choosing(cluster: Cluster, health: Health, own: Locality = NOWHERE_KNOWN) -> Choosing:
    """own: where the proxy runs."""
    settings, outlier = cluster.settings, cluster.settings.outlier
    percents = {one.endpoint: one.percent for one in usable(cluster, health)}
    fitness = [percents.get(endpoint, 0) for endpoint in cluster.endpoints]
    weights = fitness
    if settings.locality is not None and own != NOWHERE_KNOWN:
        weights = by_locality(fitness, cluster.localities, own, settings.locality)
    impaired = health.of(cluster.name) or {}
    return Choosing(
        endpoints=cluster.endpoints,
        weights=tuple(weights),
        trials=tuple(endpoint in impaired and impaired[endpoint].trial for endpoint in cluster.endpoints),
        method=settings.balancing,
        table=NO_TABLE if settings.hash is None else _table(settings.hash, cluster.endpoints, weights),
        hash=settings.hash,
        affinity_s=cluster.affinity_s,
        in_a_row=(0, 0, 0)
        if outlier is None
        else (
            outlier.consecutive_5xx,
            outlier.consecutive_gateway,
            outlier.consecutive_local if outlier.split_local else 0,
        ),
        split_local=outlier is not None and outlier.split_local,
        limits=settings.limits,
        connect_s=cluster.timeouts.connect_s,
    )


def _table(hashed: ConsistentHash, endpoints: tuple[UpstreamAddress, ...], weights: list[int]) -> HashTable:
    names = [str(endpoint).encode() for endpoint in endpoints]
    make: Callable[[list[bytes], list[int], int], HashTable] = maglev if hashed.table is Table.MAGLEV else ring
    heaviest = max(weights, default=0) or 1
    return make(names, [-(-weight * PARTS // heaviest) for weight in weights], hashed.size)
