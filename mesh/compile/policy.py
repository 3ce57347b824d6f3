"""Everything together: claims of both directions, and every cluster."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from mesh.compile.l4_routes import Routing, routing
from mesh.compile.protocols import protocol_of
from mesh.compile.services import Port, Services, gather
from mesh.documents import Documents
from mesh.yaml.problems import Problems
from proxy.core.addresses import Address
from proxy.core.lanes import LaneChoice
from proxy.core.policy.policy import Balancing, Claims, Cluster, Destination, Policy, Rule, Target, frozen

Key = tuple[str, int]


def compiled(documents: Documents, problems: Problems, namespace: str | None = None) -> Policy:
    """Deterministic: equal documents, in whatever order, give equal policies. Notes warnings in problems, never errors.
    namespace: the workload's own, if known."""
    services = gather(documents, problems)
    routes = routing(documents, services, namespace, problems)
    outbound = _Claims()
    inbound = _Claims()
    for service, (document, spec) in services.documents.items():
        for port in services.ports_of(service):
            _claim_inbound(inbound, port, routes)
            if spec.spec.headless:
                _claim_endpoints(outbound, port, routes)
                continue
            for ip in spec.addresses():
                destination = _destination(port, _family(ip), routes)
                other = outbound.take((ip, port.spec.port), destination)
                if other is not None:
                    problems.warning(
                        document.place,
                        f"{document}: {Address(ip, port.spec.port)} is claimed by Service {other.service} already",
                    )
        if not spec.spec.headless and not spec.addresses() and spec.spec.type != "ExternalName":
            problems.warning(document.at(spec.spec.line), f"{document}: no clusterIP: it claims no destination")
        elif services.ports_of(service) and not any(port.sliced for port in services.ports_of(service)):
            problems.warning(
                document.place,
                f"{document}: no EndpointSlice of it is here: its connections go on to the address that was dialled",
            )
    clusters = tuple(sorted(_clusters(services), key=lambda one: (one.name, one.endpoints)))
    made = Policy(outbound=outbound.frozen(), inbound=inbound.frozen(), clusters=clusters)
    return Policy(made.outbound, made.inbound, made.clusters, _digest(made))


class _Claims:
    def __init__(self) -> None:
        self._found: dict[Key, Destination] = {}

    def take(self, key: Key, destination: Destination) -> Destination | None:
        """The destination that has the key already; the first one keeps it."""
        first = self._found.setdefault(key, destination)
        return None if first is destination else first

    def replace(self, key: Key, destination: Destination) -> None:
        self._found[key] = destination

    def frozen(self) -> Claims:
        return frozen(sorted(self._found.items()))


def _destination(port: Port, family: int, routes: Routing) -> Destination:
    """As seen from one of the Service's virtual addresses of that family."""
    key = (port.service, port.spec.port)
    split = routes.splits.get(key)
    if split is not None:
        targets = tuple(
            Target(share.weight, None if share.port is None else share.port.cluster(family), share.unresolved)
            for share in split.shares
        )
    elif port.sliced:
        targets = (Target(1, port.cluster(family)),)
    else:
        targets = (Target(1, _passing(port, port.name)),)
    return _described(port, routes, targets, route="" if split is None else split.route)


def _claim_endpoints(claims: _Claims, port: Port, routes: Routing) -> None:
    """A headless Service: its clients have chosen an endpoint by name, and go there."""
    for endpoint in dict.fromkeys(port.known):
        cluster = port.clustered((endpoint,))
        claims.take((endpoint.ip, endpoint.port), _described(port, routes, (Target(1, cluster),), route=""))


def _claim_inbound(claims: _Claims, port: Port, routes: Routing) -> None:
    """An endpoint's own proxy can't tell by which Service's address a client came: the oldest Service names the
    connection, and every Service's deny rules hold."""
    for endpoint in dict.fromkeys(port.known):
        key = (endpoint.ip, endpoint.port)
        name = f"inbound|{endpoint.port}||{port.service.host}"
        made = _described(port, routes, (Target(1, _passing(port, name)),), route="", name=name)
        first = claims.take(key, made)
        if first is not None and made.denied:
            claims.replace(key, replace(first, denied=first.denied | made.denied))


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


def _clusters(services: Services) -> Iterator[Cluster]:
    for port in services.ports.values():
        yield from dict.fromkeys(port.cluster(family) for family in (4, 6))


def _family(ip: str) -> int:
    return 6 if ":" in ip else 4


def _digest(policy: Policy) -> str:
    """Of everything in it. Sets have no order of their own, so deny rules count by their texts."""
    text = repr(([*policy.outbound.items()], [*policy.inbound.items()], policy.clusters))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
