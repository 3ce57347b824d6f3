"""Every cluster of the policy, in order of their names, kept up Service by Service."""

from collections.abc import Iterable

from mesh.compile.digest import Digest
from proxy.core.policy.policy import Cluster


class ClusterList:
    def __init__(self) -> None:
        self.digest = Digest()
        self._found: dict[str, tuple[Cluster, ...]] = {}
        self._in_order: list[Cluster] | None = []
        """None: the order has to be made again."""
        self._at: dict[str, int] = {}
        """By name: at which place of the order its clusters begin."""

    def change(self, before: tuple[Cluster, ...], after: tuple[Cluster, ...]) -> None:
        for cluster in before:
            self.digest.take_out(cluster.name, cluster)
        for cluster in after:
            self.digest.put_in(cluster.name, cluster)
        old, new = _by_name(before), _by_name(after)
        for name in old.keys() - new.keys():
            del self._found[name]
        self._found.update(new)
        if self._in_order is None or {one: len(found) for one, found in old.items()} != {
            one: len(found) for one, found in new.items()
        }:
            self._in_order = None
            return
        for name, clusters in new.items():
            at = self._at[name]
            self._in_order[at : at + len(clusters)] = clusters

    def all(self) -> tuple[Cluster, ...]:
        if self._in_order is None:
            self._in_order = []
            for name in sorted(self._found):
                self._at[name] = len(self._in_order)
                self._in_order += self._found[name]
        return tuple(self._in_order)


def _by_name(clusters: Iterable[Cluster]) -> dict[str, tuple[Cluster, ...]]:
    found: dict[str, list[Cluster]] = {}
    for cluster in clusters:
        found.setdefault(cluster.name, []).append(cluster)
    return {name: tuple(sorted(some, key=lambda one: one.endpoints)) for name, some in found.items()}
