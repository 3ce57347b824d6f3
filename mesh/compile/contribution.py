"""What one Service adds to the policy: the addresses it claims in both directions, its clusters, and what is said."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mesh.compile.attachment import PortKey, Share
from mesh.compile.http_routes import http_rules
from mesh.compile.ports import Port, family_of
from mesh.compile.protocols import protocol_of
from mesh.compile.tables import Routing
from mesh.compile.traffic import age
from mesh.documents import Document
from mesh.kinds.core import Service
from mesh.yaml.problems import Place, Problem, Problems
from proxy.core.lanes import LaneChoice
from proxy.core.policy.http import HttpRule
from proxy.core.policy.policy import Balancing, Cluster, Destination, Key, Protocol, Rule, Target
from proxy.core.policy.upstream import DEFAULT_UPSTREAM, UpstreamSettings


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
        return None if share.port is None else self._found[share.port].cluster(family, share.subset)


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
        _claim_inbound(inbound, port)
        if service.spec.headless:
            _claim_endpoints(outbound, port)
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
    clusters = tuple(cluster for port in own for cluster in port.clusters())
    return Contribution(age(document), document, outbound, inbound, clusters, tuple(problems))


def _destination(port: Port, family: int, all_ports: Ports, routes: Routing) -> Destination:
    """As seen from one of the Service's virtual addresses of that family."""
    key = (port.service, port.spec.port)
    own = (Target(1, port.cluster(family) if port.sliced else _passing(port, port.name, port.traffic.upstream)),)

    def cluster(share: Share) -> Cluster | None:
        return all_ports.cluster(share, family)

    rules = [
        Rule(
            tuple(Target(share.weight, cluster(share), share.unresolved) for share in split.shares),
            split.route,
            (split.hostname,) if split.hostname else (),
        )
        for split in routes.splits.get(key, ())
    ]
    if not rules or rules[-1].hostnames:
        rules.append(Rule(own))
    asked = http_rules(routes.rules.get(key, ()), cluster, port.traffic.http.retries)
    return _described(port, rules, l7_routes=routes.l7.get(key, ()), asked=asked)


def _claim_endpoints(claims: dict[Key, Claim], port: Port) -> None:
    """A headless Service: its clients have chosen an endpoint by name, and go there."""
    for endpoint in dict.fromkeys(port.known):
        if (endpoint.ip, endpoint.port) not in claims:
            cluster = port.clustered((endpoint,))
            made = _described(port, [Rule((Target(1, cluster),))])
            claims[endpoint.ip, endpoint.port] = Claim(made)


def _claim_inbound(claims: dict[Key, Claim], port: Port) -> None:
    """An endpoint's own proxy can't tell by which port of a Service a client came: the first port names the connection
    and gives its settings; `joined` says what the others add. Endpoints with the same port share one destination."""
    shared: dict[int, Claim] = {}
    for endpoint in dict.fromkeys(port.known):
        key = (endpoint.ip, endpoint.port)
        claim = shared.get(endpoint.port)
        if claim is None:
            name = f"inbound|{endpoint.port}||{port.service.host}"
            made = _described(port, [Rule((Target(1, _passing(port, name)),))], inbound=name)
            claim = shared[endpoint.port] = Claim(made)
        first = claims.setdefault(key, claim)
        if first is not claim:
            claims[key] = Claim(joined(first.destination, claim.destination))


def joined(one: Destination, other: Destination) -> Destination:
    """The one destination, where the other is of the same endpoint too: the deny rules of both hold, and where they
    differ in what is spoken there, nothing is taken for granted."""
    if other.denied:
        one = replace(one, denied=one.denied | other.denied)
    if one.protocol is not other.protocol and one.protocol is not Protocol.DETECT:
        reason = f"{one.protocol_reason}, but {other.protocol_reason} of Service {other.service}"
        one = replace(one, protocol=Protocol.DETECT, protocol_reason=reason)
    return one


def _passing(port: Port, name: str, settings: UpstreamSettings = DEFAULT_UPSTREAM) -> Cluster:
    traffic = port.traffic
    return Cluster(
        name=name,
        service=port.service,
        port=port.spec.port,
        endpoints=(),
        balancing=Balancing.PASSTHROUGH,
        timeouts=traffic.timeouts,
        max_connections=traffic.max_connections,
        settings=settings,
    )


def _described(
    port: Port,
    rules: list[Rule],
    *,
    l7_routes: tuple[str, ...] = (),
    asked: tuple[HttpRule, ...] = (),
    inbound: str = "",
) -> Destination:
    """inbound: the name of a destination of that direction; empty: it is one outbound."""
    protocol, reason = protocol_of(port.spec)
    traffic = port.traffic
    return Destination(
        name=inbound or port.name,
        service=port.service,
        port=port.spec.port,
        protocol=protocol,
        protocol_reason=reason,
        rules=tuple(rules),
        lane=traffic.lane,
        lane_policy=traffic.lane_policy if traffic.lane is not LaneChoice.AUTO else "",
        l7_routes=l7_routes,
        affinity_s=port.affinity_s,
        denied=traffic.denied,
        rate_limit=traffic.rate_limit,
        http_rules=asked,
        http=traffic.http_inbound if inbound else traffic.http,
    )
