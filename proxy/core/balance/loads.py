"""How many connections each endpoint has and has had, and how often it did not take one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proxy.core.addresses import UpstreamAddress
from proxy.core.policy.difference import Member


@dataclass(slots=True)
class EndpointLoad:
    active: int = 0
    connected: int = 0
    """Connections made since the start."""
    failures: int = 0
    """Connects that failed since the start."""

    def __add__(self, other: "EndpointLoad") -> "EndpointLoad":
        return EndpointLoad(
            self.active + other.active, self.connected + other.connected, self.failures + other.failures
        )


class Loads:
    """Keyed by names and addresses, so that it outlives the policy that a connection was decided by."""

    def __init__(self) -> None:
        self._by_member: dict[Member, EndpointLoad] = {}
        self._by_cluster: dict[str, set[UpstreamAddress]] = {}
        self._active: dict[str, int] = {}
        self._leaving: set[Member] = set()
        """In no cluster any more, but with open connections."""

    def __len__(self) -> int:
        return len(self._by_member)

    def active(self, cluster: str) -> int:
        """Open connections of all endpoints of the cluster."""
        return self._active.get(cluster, 0)

    def active_of(self, cluster: str, endpoint: UpstreamAddress) -> int:
        found = self._by_member.get((cluster, endpoint))
        return 0 if found is None else found.active

    def load(self, cluster: str, endpoint: UpstreamAddress) -> EndpointLoad:
        """A copy of the counters."""
        found = self._by_member.get((cluster, endpoint))
        return EndpointLoad() if found is None else EndpointLoad(found.active, found.connected, found.failures)

    def members(self, cluster: str) -> Iterator[tuple[UpstreamAddress, EndpointLoad]]:
        """Those of which something has been counted."""
        for endpoint in self._by_cluster.get(cluster, ()):
            yield endpoint, self._by_member[cluster, endpoint]

    def taken(self, cluster: str, endpoint: UpstreamAddress) -> None:
        """A connection is being made to the endpoint: it counts from now on, so that a burst spreads."""
        self._of(cluster, endpoint).active += 1
        self._active[cluster] = self._active.get(cluster, 0) + 1

    def connected(self, cluster: str, endpoint: UpstreamAddress) -> None:
        self._of(cluster, endpoint).connected += 1

    def failed(self, cluster: str, endpoint: UpstreamAddress) -> None:
        self._of(cluster, endpoint).failures += 1

    def released(self, cluster: str, endpoint: UpstreamAddress) -> None:
        """The opposite of `taken`, exactly once for each."""
        member = (cluster, endpoint)
        load = self._of(cluster, endpoint)
        load.active -= 1
        if not load.active and member in self._leaving:
            self._leaving.discard(member)
            self._forget(member)
        left = self._active[cluster] - 1
        if left:
            self._active[cluster] = left
        else:
            del self._active[cluster]

    def exchange(self, *, come: Iterable[Member], gone: Iterable[Member]) -> None:
        """The policy has changed. An endpoint that has gone is forgotten with the last of its connections."""
        self._leaving.difference_update(come)
        for member in gone:
            load = self._by_member.get(member)
            if load is None:
                continue
            if load.active:
                self._leaving.add(member)
            else:
                self._forget(member)

    def _forget(self, member: Member) -> None:
        del self._by_member[member]
        others = self._by_cluster[member[0]]
        others.discard(member[1])
        if not others:
            del self._by_cluster[member[0]]

    def _of(self, cluster: str, endpoint: UpstreamAddress) -> EndpointLoad:
        found = self._by_member.get((cluster, endpoint))
        if found is None:
            found = self._by_member[cluster, endpoint] = EndpointLoad()
            self._by_cluster.setdefault(cluster, set()).add(endpoint)
        return found
