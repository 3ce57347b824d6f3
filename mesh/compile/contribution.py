"""What one Service adds to the policy: the addresses it claims in both directions, its clusters, and what is said."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mesh.compile.attachment import PortKey, Share
from mesh.compile.l4_routes import Routing
from mesh.compile.protocols import protocol_of
from mesh.compile.services import Port, family_of
from mesh.compile.traffic import age
from mesh.documents import Document
from mesh.kinds.core import Service
from mesh.yaml.problems import Place, Problem, Problems
from proxy.core.lanes import LaneChoice
from proxy.core.policy.policy import Balancing, Cluster, Destination, Key, Rule, Target


@dataclass(frozen=True, slots=True)
class Claim:
    destination: Destination
    virtual: bool = False
    """At an address of the Service itself, which no other Service should claim."""


@dataclass(frozen=True, slots=True)
class Contribution:
    rank: tuple[str, str, str] = ("", "", "")
    """Of two claims to one address the one with the lower rank holds: that of the older Service."""
    document: Document | None = None
    """None: there are EndpointSlices of the Service, but not the Service itself."""
    outbound: dict[Key, Claim] = field(default_factory=dict)
    inbound: dict[Key, Claim] = field(default_factory=dict)
    clusters: tuple[Cluster, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def place(self) -> Place:
        return Place("", 0) if self.document is None else self.document.place


NOTHING = Contribution()


class Ports:
    """The compiled ports of all Services."""

    def __init__(self) -> None:
        self._found: dict[PortKey, Port] = {}

    def exchange(self, before: Iterable[Port], after: Iterable[Port]) -> None:
        """These ports of a Service take the place of those from before."""
        old = {port.spec.port: port for port in before}
        for port in old.values():
            port.before = None
            del self._found[port.service, port.spec.port]
        for port in after:
            port.before = old.get(port.spec.port)
            self._found[port.service, port.spec.port] = port

    def cluster(self, share: Share, family: int) -> Cluster | None:
        return None if share.port is None else self._found[share.port].cluster(family)


def contribution(
    document: Document,
    own: list[Port],
    all_ports: Ports,
    routes: Routing,
    problems: Problems,
) -> Contribution:
    """own: the Service's ports. problems: what has been noted of them already, of this Service alone."""
    service: Service = document.object
    outbound: dict[Key, Claim] = {}
    inbound: dict[Key, Claim] = {}
    addresses = service.addresses()
    for port in own:
        _claim_inbound(inbound, port, routes)
        if service.spec.headless:
            _claim_endpoints(outbound, port, routes)
            continue
        seen: dict[int, Claim] = {}
        for ip in addresses:
            family = family_of(ip)
            if family not in seen:
                seen[family] = Claim(_destination(port, family, all_ports, routes), virtual=True)
            outbound.setdefault((ip, port.spec.port), seen[family])
    if not service.spec.headless and not addresses and service.spec.type != "ExternalName":
        problems.warning(document.at(service.spec.line), f"{document}: no clusterIP: it claims no destination")
    elif own and not own[0].sliced:
        problems.warning(
            document.place,
            f"{document}: no EndpointSlice of it is here: its connections go on to the address that was dialled",
        )
    clusters = tuple(cluster for port in own for cluster in dict.fromkeys(port.cluster(family) for family in (4, 6)))
    return Contribution(age(document), document, outbound, inbound, clusters, tuple(problems))


def _destination(port: Port, family: int, all_ports: Ports, routes: Routing) -> Destination:
    """As seen from one of the Service's virtual addresses of that family."""
    split = routes.splits.get((port.service, port.spec.port))
    if split is not None:
        targets = tuple(
            Target(share.weight, all_ports.cluster(share, family), share.unresolved) for share in split.shares
        )
    elif port.sliced:
        targets = (Target(1, port.cluster(family)),)
    else:
        targets = (Target(1, _passing(port, port.name)),)
    return _described(port, routes, targets, route="" if split is None else split.route)


def _claim_endpoints(claims: dict[Key, Claim], port: Port, routes: Routing) -> None:
    """A headless Service: its clients have chosen an endpoint by name, and go there."""
    for endpoint in dict.fromkeys(port.known):
        if (endpoint.ip, endpoint.port) not in claims:
            cluster = port.clustered((endpoint,))
            made = _described(port, routes, (Target(1, cluster),), route="")
            claims[endpoint.ip, endpoint.port] = Claim(made)


def _claim_inbound(claims: dict[Key, Claim], port: Port, routes: Routing) -> None:
    """An endpoint's own proxy can't tell by which port of a Service a client came: the first port names the connection,
    and the deny rules of every port hold. Endpoints with the same port share one destination."""
    shared: dict[int, Claim] = {}
    for endpoint in dict.fromkeys(port.known):
        key = (endpoint.ip, endpoint.port)
        claim = shared.get(endpoint.port)
        if claim is None:
            name = f"inbound|{endpoint.port}||{port.service.host}"
            made = _described(port, routes, (Target(1, _passing(port, name)),), route="", name=name)
            claim = shared[endpoint.port] = Claim(made)
        first = claims.setdefault(key, claim)
        if first is not claim:
            claims[key] = Claim(denying(first.destination, claim.destination))


def denying(one: Destination, other: Destination) -> Destination:
    """The one destination with the deny rules of both."""
    return replace(one, denied=one.denied | other.denied) if other.denied else one


def _passing(port: Port, name: str) -> Cluster:
    traffic = port.traffic
    return Cluster(
        name=name,
        service=port.service,
        port=port.spec.port,
        endpoints=(),
        balancing=Balancing.PASSTHROUGH,
        timeouts=traffic.timeouts,
        max_connections=traffic.max_connections,
    )


def _described(
    port: Port, routes: Routing, targets: tuple[Target, ...], *, route: str, name: str | None = None
) -> Destination:
    protocol, reason = protocol_of(port.spec)
    traffic = port.traffic
    return Destination(
        name=name or port.name,
        service=port.service,
        port=port.spec.port,
        protocol=protocol,
        protocol_reason=reason,
        rules=(Rule(targets, route),),
        lane=traffic.lane,
        lane_policy=traffic.lane_policy if traffic.lane is not LaneChoice.AUTO else "",
        l7_routes=routes.l7.get((port.service, port.spec.port), ()),
        affinity_s=port.affinity_s,
        denied=traffic.denied,
        rate_limit=traffic.rate_limit,
    )
