"""What has to be remembered from one decision to the next: who is connected where, whose turn it is, which client
belongs to which endpoint, how much of a rate limit is left. Times are seconds of one monotonic clock."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from proxy.core.addresses import UpstreamAddress
from proxy.core.policy.policy import Balancing, Cluster, Destination, Policy, RateLimit

MAX_CLIENTS = 100_000
"""Clients remembered for session affinity; beyond, the ones that were seen longest ago are forgotten."""
SCAN_LIMIT = 64
"""Up to so many endpoints the least loaded is looked for; beyond, the less loaded of two random ones is taken."""

Random = Callable[[], float]
"""Each call gives a number from 0 up to but not including 1."""


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


class Ledger:
    """Survives the exchange of policies: it is keyed by names and addresses, not by a policy's values."""

    def __init__(self) -> None:
        self._loads: dict[tuple[str, UpstreamAddress], EndpointLoad] = {}
        self._active: dict[str, int] = {}
        self._turns: dict[str, int] = {}
        self._clients: dict[tuple[str, str], tuple[UpstreamAddress, float]] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    def active(self, cluster: str) -> int:
        return self._active.get(cluster, 0)

    def load(self, cluster: str, endpoint: UpstreamAddress) -> EndpointLoad:
        """A copy of the counters."""
        found = self._loads.get((cluster, endpoint))
        return EndpointLoad() if found is None else EndpointLoad(found.active, found.connected, found.failures)

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
        self._of(cluster, endpoint).active -= 1
        left = self._active[cluster] - 1
        if left:
            self._active[cluster] = left
        else:
            del self._active[cluster]

    def keep(self, policy: Policy) -> None:
        """Forget what belongs to neither this policy nor an open connection."""
        known = {(cluster.name, endpoint) for cluster in policy.clusters for endpoint in cluster.endpoints}
        clusters = {cluster.name for cluster in policy.clusters}
        destinations = {one.name for claims in (policy.outbound, policy.inbound) for one in claims.values()}
        self._loads = {key: load for key, load in self._loads.items() if load.active or key in known}
        self._turns = {name: turn for name, turn in self._turns.items() if name in clusters}
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in destinations}
        named = clusters | destinations
        self._clients = {key: value for key, value in self._clients.items() if key[0] in named}

    def admits(self, name: str, limit: RateLimit, now: float) -> bool:
        """Takes one connection from the rate limit of the destination `name`. False: none is left."""
        tokens, since = self._buckets.get(name, (float(limit.burst), now))
        tokens = min(float(limit.burst), tokens + max(0.0, now - since) * limit.per_s)
        admitted = tokens >= 1.0
        self._buckets[name] = (tokens - 1.0 if admitted else tokens, now)
        return admitted

    def remembered(self, name: str, client: str, now: float) -> UpstreamAddress | None:
        """The endpoint that the client belongs to, as far as the destination or cluster `name` is concerned."""
        found = self._clients.get((name, client))
        if found is None or now >= found[1]:
            return None
        return found[0]

    def remember(self, name: str, client: str, endpoint: UpstreamAddress, until: float) -> None:
        key = (name, client)
        self._clients.pop(key, None)  # put at the end: the first are those seen longest ago
        self._clients[key] = (endpoint, until)
        if len(self._clients) > MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]

    def choose(self, cluster: Cluster, excluded: Collection[UpstreamAddress], random: Random) -> UpstreamAddress | None:
        """An endpoint by the cluster's balancing, none of the excluded ones; None: there is no other."""
        usable: Sequence[UpstreamAddress] = cluster.endpoints
        if excluded:
            usable = [endpoint for endpoint in usable if endpoint not in excluded]
        if not usable:
            return None
        if len(usable) == 1:
            return usable[0]
        match cluster.balancing:
            case Balancing.ROUND_ROBIN:
                turn = self._turns.get(cluster.name)
                turn = int(random() * len(usable)) if turn is None else turn + 1
                self._turns[cluster.name] = turn
                return usable[turn % len(usable)]
            case Balancing.LEAST_REQUEST:
                return self._least(cluster.name, usable, random)
            case _:
                return usable[int(random() * len(usable))]

    def _least(self, cluster: str, usable: Sequence[UpstreamAddress], random: Random) -> UpstreamAddress:
        if len(usable) > SCAN_LIMIT:
            first = int(random() * len(usable))
            second = (first + 1 + int(random() * (len(usable) - 1))) % len(usable)
            usable = (usable[first], usable[second])
        loads = [self._loads[cluster, one].active if (cluster, one) in self._loads else 0 for one in usable]
        least = min(loads)
        idle = [one for one, load in zip(usable, loads, strict=True) if load == least]
        return idle[int(random() * len(idle))]

    def _of(self, cluster: str, endpoint: UpstreamAddress) -> EndpointLoad:
        found = self._loads.get((cluster, endpoint))
        if found is None:
            found = self._loads[cluster, endpoint] = EndpointLoad()
        return found


def pick_target(destination: Destination, excluded: Collection[UpstreamAddress], random: Random) -> int | None:
    """Index of one of the targets by weight. Those whose endpoints are all excluded are passed over, so that a retry
    goes where there is somebody; on the first try a target without any keeps its share. None: all weights are 0."""
    usable = []
    for index, target in enumerate(destination.targets):
        endpoints = () if target.cluster is None else target.cluster.endpoints
        spent = bool(excluded) and all(endpoint in excluded for endpoint in endpoints)
        if target.weight and not spent:
            usable.append((index, target.weight))
    if not usable:
        return None
    point = random() * sum(weight for _, weight in usable)
    for index, weight in usable:
        point -= weight
        if point < 0:
            return index
    return usable[-1][0]
