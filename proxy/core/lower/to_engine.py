"""What the engine may decide by itself: the part of a policy that needs nothing but the destination.

A ruling says how connections to a destination are to be treated; where there is none, each of them is decided in turn
(`proxy/core/decide`), with all that is remembered. Both come from the same policy and the same health, so they
agree."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from proxy.core.addresses import Address, OriginalDestination, UpstreamAddress
from proxy.core.balance.weights import parts
from proxy.core.decide.lane import Lanes, choose_lane, on_arrival, speaking
from proxy.core.decide.verdict import NOWHERE, Verdict
from proxy.core.decide.verdict import decide as pass_through
from proxy.core.lanes import Direction, Lane, LaneChoice, Speaking
from proxy.core.policy.policy import Balancing, Cluster, Destination, Policy, Protocol, Target
from proxy.core.resilience.health import HEALTHY, Health


class Site(NamedTuple):
    """What a ruling is for: connections of a direction to an address; `ip` empty: to all that have no ruling."""

    direction: Direction
    ip: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """An endpoint's part of the connections. `of`: what is told about them, but for the endpoint."""

    weight: int
    endpoint: UpstreamAddress
    of: Verdict

    @property
    def verdict(self) -> Verdict:
        """What is told about them; made when it is asked for, for there are many endpoints."""
        return replace(self.of, upstream=self.endpoint)


class Spread(StrEnum):
    """How connections are spread over the shares, all by weight."""

    RANDOM = "random"
    ROUND_ROBIN = "round robin"
    LEAST = "fewest connections"
    BY_SOURCE = "by the client's address"


class Affinity(NamedTuple):
    """A client goes to the same endpoint again for `seconds`. of: whose clients they are."""

    of: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Ruling:
    """`verdict`: of a connection that is with none of the endpoints; its timeouts and lane hold for all. No shares:
    it goes to its original destination. `denied`: networks whose connections are decided one by one: they are reset."""

    verdict: Verdict
    shares: tuple[Share, ...] = ()
    spread: Spread = Spread.RANDOM
    speaking: Speaking = Speaking.OPAQUE
    affinity: Affinity | None = None
    denied: tuple[str, ...] = ()

    def told(self, endpoint: UpstreamAddress | None) -> Verdict:
        """What is told about a connection with that endpoint; None: with none."""
        return next((share.verdict for share in self.shares if share.endpoint == endpoint), self.verdict)


def rulings(policy: Policy, lanes: Lanes, health: Health = HEALTHY) -> Mapping[Site, Ruling | None]:
    """For every site of the policy, and for all others; None: connections to it are decided one by one."""
    found: dict[Site, Ruling | None] = {Site(direction): unclaimed(direction, lanes) for direction in Direction}
    for direction, claims in ((Direction.OUTBOUND, policy.outbound), (Direction.INBOUND, policy.inbound)):
        for (ip, port), destination in claims.items():
            found[Site(direction, ip, port)] = ruling(destination, lanes.of(direction, port), health)
    return found


def unclaimed(direction: Direction, lanes: Lanes) -> Ruling:
    """For all that no Service claims: what it speaks is detected, unless another lane is forced."""
    verdict = pass_through(direction, OriginalDestination(Address("", 0)), lanes.forced)
    if lanes.forced not in (LaneChoice.AUTO, LaneChoice.PARSED) or Lane.PARSED not in lanes.available:
        return Ruling(verdict)
    return Ruling(replace(verdict, lane=Lane.PARSED), speaking=Speaking.DETECTED)


def obstacle(destination: Destination, *, by_request: bool = False) -> str | None:
    """Why connections to the destination are decided one by one; None: they need not be. by_request: rules say where
    each request goes, so where connections would go does not matter."""
    weighted = [target for target in destination.targets if target.weight]
    if destination.rate_limit is not None:
        return "a rate limit"
    if by_request:
        return None
    if not weighted:
        return "nothing to send to"
    return _obstacle_of_targets(weighted, remembers=destination.affinity_s is not None)


def _obstacle_of_targets(weighted: list[Target], *, remembers: bool) -> str | None:
    """remembers: a client's endpoint is remembered across all targets."""
    clusters = [target.cluster for target in weighted if target.cluster is not None]
    if len(clusters) < len(weighted):
        return "an unresolved backend"
    passing = [cluster for cluster in clusters if cluster.balancing is Balancing.PASSTHROUGH]
    if passing and len(clusters) > 1:
        return "a split with the original destination"
    if not all(cluster.endpoints or cluster in passing for cluster in clusters):
        return "a backend without endpoints"
    if len(clusters) > 1 and not remembers and any(cluster.affinity_s is not None for cluster in clusters):
        return "session affinity of one backend of several"
    if any(cluster.max_connections is not None for cluster in clusters):
        return "maxConnections"
    if len(clusters) > 1 and any(
        cluster.balancing is Balancing.LEAST_REQUEST and len(cluster.endpoints) > 1 for cluster in clusters
    ):
        return "LEAST_REQUEST of one backend of several"
    if len({cluster.timeouts for cluster in clusters}) > 1:
        return "backends with timeouts of their own"
    return None


def routes_requests(destination: Destination, speaks: Speaking) -> bool:
    """Whether it is said of each request where it goes: by an HTTPRoute; or, where nothing but HTTP is spoken, by what
    a TrafficPolicy asks of requests."""
    if speaks is Speaking.HTTP and destination.http.of_requests:
        return True
    return speaks is not Speaking.OPAQUE and any(rule.kind == "HTTPRoute" for rule in destination.http_rules)


def _of_requests(destination: Destination, lane: Lane, reason: str) -> Verdict:
    """On connections of which only the requests are sent anywhere; what is no HTTP goes to where it was dialled."""
    return Verdict(
        upstream=NOWHERE,
        cluster=destination.name,
        protocol="tcp" if destination.protocol is Protocol.DETECT else str(destination.protocol),
        lane=lane,
        lane_reason=reason,
        service=destination.service,
    )


def ruling(destination: Destination, lanes: Lanes, health: Health) -> Ruling | None:
    """None: connections to the destination are decided one by one."""
    lane, reason = on_arrival(*choose_lane(destination, lanes.forced, lanes.available))
    speaks = speaking(destination, lane)
    if obstacle(destination) is not None:
        if obstacle(destination, by_request=routes_requests(destination, speaks)) is not None:
            return None
        return Ruling(_of_requests(destination, lane, reason), speaking=speaks, denied=destination.denied.networks)
    clusters = [target.cluster for target in destination.targets if target.weight and target.cluster is not None]

    def verdict(cluster: Cluster) -> Verdict:
        return Verdict(
            upstream=NOWHERE,
            cluster=cluster.name,
            protocol="tcp" if destination.protocol is Protocol.DETECT else str(destination.protocol),
            lane=lane,
            lane_reason=reason,
            service=cluster.service,
            timeouts=cluster.timeouts,
        )

    verdicts = {cluster.name: verdict(cluster) for cluster in clusters}
    general = verdicts[clusters[0].name]
    if clusters[0].balancing is Balancing.PASSTHROUGH:
        return Ruling(general, speaking=speaks, denied=destination.denied.networks)
    shares = (
        Share(part.weight, part.endpoint, verdicts[part.cluster.name]) for part in parts(destination.targets, health)
    )
    return Ruling(
        general,
        tuple(shares),
        _spread(clusters),
        speaks,
        _affinity(destination, clusters),
        destination.denied.networks,
    )


def _spread(clusters: list[Cluster]) -> Spread:
    if all(cluster.balancing is Balancing.ROUND_ROBIN for cluster in clusters):
        return Spread.ROUND_ROBIN
    if len(clusters) > 1:
        return Spread.RANDOM
    hashed = clusters[0].settings.hash
    if hashed is not None and hashed.source_ip:
        return Spread.BY_SOURCE
    return Spread.LEAST if clusters[0].balancing is Balancing.LEAST_REQUEST else Spread.RANDOM


def _affinity(destination: Destination, clusters: list[Cluster]) -> Affinity | None:
    """That of the destination holds across its targets, that of a backend within it."""
    if destination.affinity_s is not None:
        return Affinity(destination.name, destination.affinity_s)
    of = clusters[0]
    return None if of.affinity_s is None else Affinity(of.name, of.affinity_s)
