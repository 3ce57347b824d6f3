"""Health as a value: which endpoints may be used for how much of their weight. All that choose endpoints (the engine's
rulings, the kernel's services, the decisions made here) take the same value and ask `usable`, so they agree."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from proxy.core.addresses import UpstreamAddress
from proxy.core.policy.policy import Cluster

WHOLE = 100


@dataclass(frozen=True, slots=True)
class Fitness:
    """percent: of its weight; 0: ejected. reason: for people. trial: a lane that can is to send it one request at a
    time."""

    percent: int
    reason: str
    trial: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.percent < WHOLE:
            raise ValueError(f"an impaired endpoint is used for 0 to {WHOLE - 1} percent, not {self.percent}")


class Usable(NamedTuple):
    endpoint: UpstreamAddress
    percent: int
    """1 to WHOLE."""
    trial: bool = False


Impaired = Mapping[UpstreamAddress, Fitness]


@dataclass(frozen=True, slots=True)
class Health:
    """Immutable. Endpoints of which nothing stands here are whole."""

    clusters: Mapping[str, Impaired] = field(default_factory=lambda: MappingProxyType({}))
    """By name."""

    def of(self, cluster: str) -> Impaired | None:
        """None: all of its endpoints are whole."""
        return self.clusters.get(cluster)

    def differing(self, other: "Health") -> frozenset[str]:
        """Names of the clusters whose endpoints are not as fit as in the other one."""
        if self is other:
            return frozenset()
        names = {*self.clusters, *other.clusters}
        return frozenset(name for name in names if self.clusters.get(name) != other.clusters.get(name))


HEALTHY = Health()


def health(impaired: Iterable[tuple[str, UpstreamAddress, Fitness]]) -> Health:
    """Of clusters' names and endpoints; the last word about an endpoint holds."""
    found: dict[str, dict[UpstreamAddress, Fitness]] = {}
    for cluster, endpoint, fitness in impaired:
        found.setdefault(cluster, {})[endpoint] = fitness
    return Health(MappingProxyType({name: MappingProxyType(each) for name, each in found.items()}))


def usable(cluster: Cluster, health: Health) -> list[Usable]:
    """The endpoints that connections may go to. When all are ejected all are used, as if they were whole: an ejection
    is an opinion, and no endpoint at all is worse than a doubtful one. Empty only where the cluster has none."""
    impaired = health.of(cluster.name)
    if impaired is None:
        return [Usable(endpoint, WHOLE) for endpoint in cluster.endpoints]
    every = [_usable(endpoint, impaired.get(endpoint)) for endpoint in cluster.endpoints]
    found = [one for one in every if one.percent]
    return found or [Usable(endpoint, WHOLE) for endpoint in cluster.endpoints]


def _usable(endpoint: UpstreamAddress, fitness: Fitness | None) -> Usable:
    return Usable(endpoint, WHOLE) if fitness is None else Usable(endpoint, fitness.percent, fitness.trial)
