"""Who can be sent to: a Service's endpoints, and how one of them is chosen."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from proxy.core.addresses import UpstreamAddress
from proxy.core.policy.upstream import DEFAULT_UPSTREAM, Keepalive, UpstreamSettings

CLUSTER_DOMAIN = "svc.cluster.local"


class Balancing(StrEnum):
    """How an endpoint is chosen for a connection; the names are Istio's."""

    RANDOM = "RANDOM"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"
    PASSTHROUGH = "PASSTHROUGH"
    """Not chosen at all: the original destination."""


class ServiceName(NamedTuple):
    namespace: str
    name: str

    @property
    def host(self) -> str:
        return f"{self.name}.{self.namespace}.{CLUSTER_DOMAIN}"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Locality(NamedTuple):
    """Where an endpoint or the proxy runs. An empty part is not known."""

    region: str = ""
    zone: str = ""
    subzone: str = ""


SOMEWHERE = Locality()
"""A place of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Of connections, in seconds. None means the proxy's own setting; for `lifetime_s` it means no limit."""

    connect_s: float | None = None
    idle_s: float | None = None
    lifetime_s: float | None = None
    keepalive: Keepalive | None = None
    """TCP's, of connections to the endpoints."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The endpoints of one port of a Service that are reachable over one address family, all of equal weight."""

    name: str
    """Envoy's form: outbound|PORT|SUBSET|HOST; without a subset, outbound|PORT||HOST."""
    service: ServiceName
    port: int
    endpoints: tuple[UpstreamAddress, ...]
    balancing: Balancing = Balancing.RANDOM
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_connections: int | None = None
    affinity_s: float | None = None
    """A client goes to the same endpoint again for as long; None: no affinity."""
    localities: tuple[Locality, ...] = ()
    """Of the endpoints, one for each in the same order; empty unless `settings.locality` is there."""
    settings: UpstreamSettings = DEFAULT_UPSTREAM
    """What the TrafficPolicy for the Service asks of its endpoints, on the parsed lane and in health keeping."""
