"""The engine's clusters, kept as policy and health say, and the meaning of their numbers."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from cext.engine.clusters import Choose, ClusterEndpoint, ClusterLimits, Clusters, ClusterSpec, EndpointCounts, News
from cext.engine.values import SocketAddress
from proxy.core.addresses import UpstreamAddress
from proxy.core.decide.session import identity
from proxy.core.dice import hash_of
from proxy.core.lower.site_layout import NO_CLUSTER
from proxy.core.lower.to_cluster import NOWHERE_KNOWN, Choosing, choosing
from proxy.core.policy.cluster import Balancing, Cluster, Locality
from proxy.core.policy.upstream import HttpBalancing, Limits
from proxy.core.resilience.health import HEALTHY, Fitness, Health
from proxy.core.resilience.tally import Tally
from proxy.lanes.parsed.hashed import hashed

_CHOOSE = {
    HttpBalancing.EWMA: Choose.EWMA,
    HttpBalancing.LEAST_REQUEST: Choose.LEAST_REQUEST,
    HttpBalancing.ROUND_ROBIN: Choose.ROUND_ROBIN,
    HttpBalancing.RANDOM: Choose.RANDOM,
    HttpBalancing.PASSTHROUGH: Choose.RANDOM,  # never asked: its requests go where they were sent
}
_FAILED = News.IN_A_ROW_5XX | News.IN_A_ROW_GATEWAY | News.IN_A_ROW_LOCAL


class Member(NamedTuple):
    cluster: str
    endpoint: UpstreamAddress


GroupOf = Callable[[Cluster, UpstreamAddress], int]
"""Of an endpoint of a cluster: the number under which the engine keeps its state and counts its connections."""


class HealthEvents(NamedTuple):
    """in_a_row: cluster, endpoint and why. tried: cluster, endpoint and whether the trial was passed."""

    in_a_row: Callable[[str, UpstreamAddress, str], None]
    tried: Callable[[str, UpstreamAddress, bool], None]


_Key = tuple[str, bool]
_MadeOf = tuple[Cluster, Mapping[UpstreamAddress, Fitness] | None, Locality]


class EngineClusters:
    """Belongs to the event loop. A cluster's number is its own for as long as the policy has it; a group belongs to an
    endpoint of a cluster of that name, for ever."""

    def __init__(self, clusters: Clusters, events: HealthEvents, connect_timeout_s: float, group_of: GroupOf) -> None:
        self._clusters = clusters
        self._events = events
        self._connect_timeout_s = connect_timeout_s
        self._numbers: dict[_Key, int] = {}
        self._keys: dict[int, _Key] = {}
        self._free: list[int] = []
        self._there: dict[int, Choosing] = {}
        self._made_of: dict[int, _MadeOf] = {}
        self._health = HEALTHY
        self._own = NOWHERE_KNOWN
        self._group_of = group_of
        self._members: dict[int, Member] = {}
        self._identities: dict[int, int] = {}
        self._by_cluster: dict[str, dict[int, None]] = {}

    @property
    def news_fd(self) -> int:
        return self._clusters.news_fd

    def number(self, cluster: Cluster) -> int:
        """By which the engine knows the cluster. NO_CLUSTER: no endpoint of it is chosen, its requests go where they
        were sent."""
        if cluster.balancing is Balancing.PASSTHROUGH:
            return NO_CLUSTER
        key = _key(cluster)
        known = self._numbers.get(key)
        if known is None:
            known = self._numbers[key] = self._free.pop() if self._free else len(self._numbers) + 1
            self._keys[known] = key
        return known

    def member(self, group: int) -> Member:
        return self._members[group]

    def exchange(self, clusters: Iterable[Cluster], health: Health, own: Locality = NOWHERE_KNOWN) -> Iterator[None]:
        """Those that policy has changed, before the sites that name them; beside them those whose health differs from
        the last exchange that was completed. A step for each. own: where the proxy runs."""
        for cluster in clusters:
            if self.number(cluster) != NO_CLUSTER:
                self._exchange_one(self.number(cluster), cluster, health, own)
            yield
        for number in list(self._made_of) if own != self._own else self._named(health.differing(self._health)):
            self._exchange_one(number, self._made_of[number][0], health, own)
            yield
        self._health, self._own = health, own

    def forget(self, numbers: Iterable[int]) -> None:
        """Clusters that no site names any more. A number may be one that was never exchanged."""
        for number in numbers:
            del self._numbers[self._keys.pop(number)]
            if self._there.pop(number, None) is not None:
                self._clusters.remove(number)
            self._made_of.pop(number, None)
            self._free.append(number)

    def take_news(self) -> None:
        """To be called when the news descriptor is readable."""
        for group, news in self._clusters.news():
            cluster, endpoint = self.member(group)
            if news & News.TRIAL_FAILED:
                self._events.tried(cluster, endpoint, False)
            elif news & News.TRIAL_PASSED:
                self._events.tried(cluster, endpoint, True)
            if news & _FAILED:
                self._events.in_a_row(cluster, endpoint, _why(news))

    def counts(self, cluster: str) -> Mapping[UpstreamAddress, EndpointCounts]:
        found = (
            (self.member(group).endpoint, self._clusters.counts(group)) for group in self._by_cluster.get(cluster, ())
        )
        return {endpoint: counts for endpoint, counts in found if counts is not None}

    def tallies(self, cluster: str) -> Mapping[UpstreamAddress, Tally]:
        """For health keeping. That failures came in a row is told as news."""
        return {endpoint: _tally(counts) for endpoint, counts in self.counts(cluster).items()}

    def _exchange_one(self, number: int, cluster: Cluster, health: Health, own: Locality) -> None:
        made_of = (cluster, health.of(cluster.name), own)
        if self._made_of.get(number) == made_of:
            return
        wanted = choosing(cluster, health, own)
        if self._there.get(number) != wanted:
            self._clusters.set(number, self._spec(cluster, wanted))
            self._there[number] = wanted
        self._made_of[number] = made_of

    def _named(self, names: Iterable[str]) -> list[int]:
        found = (self._numbers.get((name, is_ipv6), NO_CLUSTER) for name in names for is_ipv6 in (False, True))
        return [number for number in found if number in self._made_of]

    def _spec(self, cluster: Cluster, one: Choosing) -> ClusterSpec:
        groups = [self._group(cluster, endpoint) for endpoint in one.endpoints]
        endpoints = tuple(
            ClusterEndpoint(SocketAddress(*endpoint), group, weight, trial, self._identities[group])
            for endpoint, group, weight, trial in zip(one.endpoints, groups, one.weights, one.trials, strict=True)
        )
        connect_s = self._connect_timeout_s if one.connect_s is None else one.connect_s
        return ClusterSpec(
            endpoints=endpoints,
            choose=_CHOOSE[one.method],
            places=one.table.places,
            points=one.table.points,
            **hashed(one.hash)._asdict(),
            affinity=hash_of(cluster.name.encode()),
            affinity_ms=round((one.affinity_s or 0) * 1000),
            in_a_row=one.in_a_row,
            split_local=one.split_local,
            limits=_limits(one.limits),
            connect_timeout_ms=round(connect_s * 1000),
            idle_timeout_ms=round(one.limits.idle_s * 1000),
        )

    def _group(self, cluster: Cluster, endpoint: UpstreamAddress) -> int:
        group = self._group_of(cluster, endpoint)
        if group not in self._members:
            self._members[group] = Member(cluster.name, endpoint)
            self._identities[group] = identity(cluster.name, endpoint)
        self._by_cluster.setdefault(cluster.name, {})[group] = None
        return group


def _key(cluster: Cluster) -> _Key:
    """A name has a cluster for each address family."""
    return cluster.name, any(endpoint.is_ipv6 for endpoint in cluster.endpoints)


def _limits(limits: Limits) -> ClusterLimits:
    return ClusterLimits(
        connections=limits.connections or 0,
        pending=limits.pending or 0,
        requests=limits.requests or 0,
        retries=limits.retries or 0,
        endpoint_connections=limits.endpoint_connections or 0,
        endpoint_requests=limits.endpoint_requests or 0,
        connection_requests=limits.requests_per_connection or 0,
    )


def _tally(counts: EndpointCounts) -> Tally:
    errors = sum(count for status, count in counts.statuses.items() if status >= 500)
    return Tally(counts.answered - errors, errors + sum(counts.failures), counts.statuses, sequential=True)


def _why(news: News) -> str:
    if news & News.IN_A_ROW_GATEWAY:
        return "as many gateway errors in a row as allowed"
    if news & News.IN_A_ROW_5XX:
        return "as many 5xx in a row as allowed"
    return "as many failures without an answer in a row as allowed"
