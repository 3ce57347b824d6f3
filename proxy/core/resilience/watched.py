"""All clusters whose endpoints are watched, and what is thought of them as one value."""

from types import MappingProxyType

from proxy.core.policy.policy import Cluster, Policy
from proxy.core.resilience.cluster_health import ClusterHealth, is_watched
from proxy.core.resilience.health import HEALTHY, Health, Impaired


class Watched:
    """Clusters by name; those that the policy does not ask to be watched cost nothing."""

    def __init__(self) -> None:
        self.clusters: dict[str, ClusterHealth] = {}
        self._health = HEALTHY

    def exchange(self, policy: Policy, now: float) -> None:
        """What is known of clusters and endpoints that stay is kept."""
        asked: dict[str, list[Cluster]] = {}
        for cluster in policy.clusters:
            if is_watched(cluster.settings):
                asked.setdefault(cluster.name, []).append(cluster)
        for gone in self.clusters.keys() - asked:
            del self.clusters[gone]
        for name, families in asked.items():
            members = frozenset(endpoint for one in families for endpoint in one.endpoints)
            known = self.clusters.get(name)
            if known is None:
                self.clusters[name] = ClusterHealth(families[0].settings, members)
            elif (known.settings, known.members) != (families[0].settings, members):
                known.exchange(families[0].settings, members, now)

    def health(self, now: float) -> Health | None:
        """None: the same as the last time."""
        found: dict[str, Impaired] = {}
        for name, cluster in self.clusters.items():
            cluster.time_passes(now)
            fitness = cluster.fitness(now)
            if fitness:
                found[name] = MappingProxyType(fitness)
        if found == dict(self._health.clusters):
            return None
        self._health = Health(MappingProxyType(found))
        return self._health
