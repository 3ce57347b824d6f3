"""What configuration says about destinations, compiled into one immutable value. A Policy is whole and consistent; a
new configuration is a new Policy, which shares with the former one what has not changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.lanes import Direction, LaneChoice
from proxy.core.networks import NetworkSet
from proxy.core.policy.cluster import CLUSTER_DOMAIN, SOMEWHERE, Balancing, Cluster, Locality, ServiceName, Timeouts
from proxy.core.policy.http import HttpRule
from proxy.core.policy.settings import DEFAULT_SETTINGS, HttpSettings

__all__ = [
    "CLUSTER_DOMAIN",
    "NO_POLICY",
    "Balancing",
    "Claims",
    "Cluster",
    "Destination",
    "Key",
    "Policy",
    "Protocol",
    "RateLimit",
    "Rule",
    "ServiceName",
    "Target",
    "Timeouts",
    "frozen",
    "shares",
]


class Protocol(StrEnum):
    """Of a port, as configured. DETECT: nothing says what is spoken there."""

    TCP = "tcp"
    TLS = "tls"
    HTTP = "http"
    HTTP2 = "http2"
    GRPC = "grpc"
    DETECT = "detect"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """New connections: `per_s` a second in the long run, `burst` at once. Counted by each proxy for itself."""

    per_s: float
    burst: int


@dataclass(frozen=True, slots=True)
class Target:
    """A share of a destination's connections. Without a cluster they are reset, and `unresolved` says why."""

    weight: int
    cluster: Cluster | None
    unresolved: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where connections go. The targets' weights may all be 0: then all of them are reset."""

    targets: tuple[Target, ...]
    route: str = ""
    """The route that the rule comes from; empty: the Service's own endpoints."""
    hostnames: tuple[str, ...] = ()
    """The rule takes TLS connections with one of these server names; `*.` stands for any labels. Empty: all."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A port of a Service, as seen from one of its addresses."""

    name: str
    service: ServiceName
    port: int
    protocol: Protocol
    protocol_reason: str
    """Where the protocol comes from, for people."""
    rules: tuple[Rule, ...]
    """For connections, in order: the first that matches decides. The last one matches everything."""
    lane: LaneChoice = LaneChoice.AUTO
    lane_policy: str = ""
    """The TrafficPolicy that asks for the lane."""
    l7_routes: tuple[str, ...] = ()
    """Names, to be shown: routes above the transport that are attached and not among the rules."""
    affinity_s: float | None = None
    denied: NetworkSet = field(default_factory=NetworkSet)
    rate_limit: RateLimit | None = None
    http_rules: tuple[HttpRule, ...] = ()
    """For requests, in the order in which they are asked. Empty: no route is attached, and all requests go to the
    targets. Otherwise a request that no rule takes is answered 404."""
    http: HttpSettings = DEFAULT_SETTINGS

    @property
    def targets(self) -> tuple[Target, ...]:
        """Of the rule that takes every connection, whatever it says."""
        return self.rules[-1].targets

    @property
    def route(self) -> str:
        """The TCPRoute or TLSRoute that made the targets; empty: the Service's own endpoints."""
        return self.rules[-1].route

    @property
    def l7_asked(self) -> str:
        """What is asked of requests, for people; empty: nothing above the transport."""
        if self.l7_routes:
            return f"{self.l7_routes[0]} is attached"
        return "a TrafficPolicy asks something of requests" if self.http.of_requests else ""

    @property
    def l4_only(self) -> bool:
        """Nothing above the transport is asked for, so the bytes need not be looked at."""
        return not self.l7_asked and (bool(self.route) or self.protocol in (Protocol.TCP, Protocol.TLS))


Key = tuple[str, int]
"""A canonical IP and a port."""
Claims = Mapping[Key, Destination]
"""The address that clients dial -> the destination that claims it."""


def _nothing() -> Claims:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Policy:
    """Compiled configuration. `inbound` is keyed by the workload's own address and port, its targets have no
    endpoints of their own: a connection that has arrived is passed to where it was meant to go."""

    outbound: Claims = field(default_factory=_nothing)
    inbound: Claims = field(default_factory=_nothing)
    clusters: tuple[Cluster, ...] = ()
    """Every cluster, one for each address family in use, by name: also those that no destination sends to."""
    digest: str = ""
    """Equal policies have equal digests."""
    home: Locality = SOMEWHERE
    """Where the proxy runs, as far as it is known."""

    def claimed(self, direction: Direction, address: Address) -> Destination | None:
        """None: no Service claims it, and it is passed through."""
        claims = self.outbound if direction is Direction.OUTBOUND else self.inbound
        return claims.get((address.ip, address.port))


NO_POLICY = Policy()
"""That of a proxy without configuration."""


def shares(destination: Destination) -> list[tuple[UpstreamAddress, float]]:
    """Each endpoint's part of a destination's connections while nothing fails, for lanes that choose by weight alone.
    They add up to less than 1 where a share is reset, and to 0 where nothing can be reached."""
    total = sum(target.weight for target in destination.targets)
    found: dict[UpstreamAddress, float] = {}
    for target in destination.targets:
        if target.cluster is None or not target.weight:
            continue
        for endpoint in target.cluster.endpoints:
            part = target.weight / total / len(target.cluster.endpoints)
            found[endpoint] = found.get(endpoint, 0.0) + part
    return sorted(found.items())


def frozen(claims: Iterable[tuple[Key, Destination]]) -> Claims:
    return MappingProxyType(dict(claims))
