"""Services and their EndpointSlices -> ports with addresses and endpoints."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mesh.compile.traffic import Attached, Traffic, age
from mesh.documents import Document, Documents
from mesh.kinds.core import Endpoint, EndpointPort, EndpointSlice, Service, ServicePort
from mesh.yaml.problems import Problems
from mesh.yaml.texts import canonical_ip
from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.policy.policy import Cluster, ServiceName


@dataclass(slots=True)
class Port:
    """One TCP port of a Service. `usable` are the endpoints new connections may go to; `known` all of them."""

    document: Document
    service: ServiceName
    spec: ServicePort
    traffic: Traffic
    affinity_s: float | None
    usable: list[UpstreamAddress] = field(default_factory=list)
    known: list[UpstreamAddress] = field(default_factory=list)
    sliced: bool = False
    """Whether there is any EndpointSlice of the Service: without one nobody has told its endpoints."""

    @property
    def name(self) -> str:
        return f"outbound|{self.spec.port}||{self.service.host}"

    def cluster(self, family: int) -> Cluster:
        """For connections of a family: its own endpoints, as a node's proxy would choose; else those of the other."""
        usable = self.usable if self.sliced else self._virtual()
        same = tuple(sorted({one for one in usable if _family(one) == family}))
        return self.clustered(same or tuple(sorted(set(usable))))

    def _virtual(self) -> list[UpstreamAddress]:
        """The Service's own address, for whoever balances there."""
        addresses = self.document.object.spec.virtual_addresses()
        return [UpstreamAddress(Address(ip, self.spec.port)) for ip in addresses]

    def clustered(self, endpoints: tuple[UpstreamAddress, ...]) -> Cluster:
        return Cluster(
            name=self.name,
            service=self.service,
            port=self.spec.port,
            endpoints=endpoints,
            balancing=self.traffic.balancing,
            timeouts=self.traffic.timeouts,
            max_connections=self.traffic.max_connections,
            affinity_s=self.affinity_s,
        )


@dataclass(slots=True)
class Services:
    """Every Service that was read, by name, the oldest first."""

    documents: dict[ServiceName, tuple[Document, Service]]
    ports: dict[tuple[ServiceName, int], Port]

    def ports_of(self, service: ServiceName) -> list[Port]:
        _, spec = self.documents[service]
        found = (self.ports.get((service, port.port)) for port in spec.spec.ports)
        return [port for port in found if port is not None]


def gather(documents: Documents, problems: Problems) -> Services:
    """TCP ports only: nothing else is proxied."""
    ordered = sorted(documents.of(Service), key=lambda pair: age(pair[0]))
    named = {ServiceName(document.namespace, document.name): (document, service) for document, service in ordered}
    names = {name: {port.name for port in service.spec.ports if port.name} for name, (_, service) in named.items()}
    attached = Attached(documents, names, problems)
    ports: dict[tuple[ServiceName, int], Port] = {}
    for name, (document, service) in named.items():
        spec = service.spec
        affinity = float(spec.session_affinity_config.client_ip.timeout_seconds)
        for port in spec.ports:
            if port.protocol == "TCP":
                ports[name, port.port] = Port(
                    document,
                    name,
                    port,
                    attached.to(name, port.name),
                    affinity if spec.session_affinity == "ClientIP" else None,
                )
        if spec.internal_traffic_policy == "Local":
            problems.warning(document.at(spec.line), f"{document}: internalTrafficPolicy Local is not obeyed")
    found = Services(named, ports)
    _join(documents, found, problems)
    return found


def _join(documents: Documents, services: Services, problems: Problems) -> None:
    """Give every port the endpoints of its Service's slices; a port and a slice's port belong together by name."""
    spare: dict[tuple[ServiceName, int], list[UpstreamAddress]] = {}
    for document, one in documents.of(EndpointSlice):
        label = one.service
        if label is None:
            problems.warning(
                document.place, f"{document}: no label kubernetes.io/service-name: it belongs to no Service"
            )
            continue
        name = ServiceName(document.namespace, label)
        if name not in services.documents:
            problems.warning(document.place, f"{document}: Service {name} is not here: its endpoints are not used")
            continue
        for port in services.ports_of(name):
            port.sliced = True
        if one.address_type == "FQDN":
            problems.warning(
                document.place, f"{document}: addressType FQDN is not supported: its endpoints are not used"
            )
            continue
        matches = list(_matches(services, name, one))
        if one.endpoints and not matches:
            there = ", ".join(repr(port.spec.name) for port in services.ports_of(name)) or "none"
            problems.warning(
                document.place, f"{document}: none of its ports has the name of a TCP port of Service {name} ({there})"
            )
        for port, at in matches:
            for endpoint, address in _addresses(one, at):
                port.known.append(address)
                if endpoint.ready:
                    port.usable.append(address)
                elif endpoint.serving_while_terminating:
                    spare.setdefault((name, port.spec.port), []).append(address)
    for key, addresses in spare.items():
        # Kubernetes' own rule: while all are going, those that still serve are better than nobody.
        if not services.ports[key].usable:
            services.ports[key].usable = addresses


def _matches(services: Services, name: ServiceName, one: EndpointSlice) -> Iterator[tuple[Port, EndpointPort]]:
    by_name = {port.name: port for port in one.ports if port.protocol == "TCP" and port.port is not None}
    for port in services.ports_of(name):
        at = by_name.get(port.spec.name)
        if at is not None:
            yield port, at


def _addresses(one: EndpointSlice, at: EndpointPort) -> Iterator[tuple[Endpoint, UpstreamAddress]]:
    for endpoint in one.endpoints:
        # The addresses of one endpoint are the same machine: the API asks consumers to take the first.
        yield endpoint, UpstreamAddress(Address(canonical_ip(endpoint.addresses[0]), at.port or 0))


def _family(address: Address) -> int:
    return 6 if address.is_ipv6 else 4
