"""A Service and its EndpointSlices -> its TCP ports, with their endpoints. Nothing else than TCP is proxied."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mesh.compile.catalogue import name_of, tcp_ports
from mesh.compile.traffic import Traffic
from mesh.documents import Document
from mesh.kinds.core import Endpoint, EndpointPort, EndpointSlice, Service, ServicePort
from mesh.yaml.problems import Problems
from mesh.yaml.texts import canonical_ip
from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.policy.policy import Cluster, ServiceName


@dataclass(slots=True)
class Port:
    """One TCP port of a Service. New connections may go to `usable` endpoints; `known` are all of them."""

    document: Document
    service: ServiceName
    spec: ServicePort
    traffic: Traffic
    affinity_s: float | None
    usable: list[UpstreamAddress] = field(default_factory=list)
    known: list[UpstreamAddress] = field(default_factory=list)
    sliced: bool = False
    """Whether the Service has any EndpointSlice. Without one its endpoints are not known."""
    before: "Port | None" = None
    """The same port when it was compiled the last time: a cluster that is as it was stays the same object."""
    _clusters: dict[int, Cluster] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"outbound|{self.spec.port}||{self.service.host}"

    def cluster(self, family: int) -> Cluster:
        """For connections of a family: its own endpoints, as a node's proxy would choose; else those of the other."""
        found = self._clusters.get(family)
        if found is None:
            usable = self.usable if self.sliced else self._virtual()
            same = tuple(sorted({one for one in usable if family_of(one.ip) == family}))
            found = self.clustered(same or tuple(sorted(set(usable))))
            for other in (*self._clusters.values(), *(() if self.before is None else self.before._clusters.values())):
                if other == found:
                    found = other
                    break
            self._clusters[family] = found
        return found

    def _virtual(self) -> list[UpstreamAddress]:
        """The Service's own address: whatever balances there chooses the endpoint."""
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


def ports_of(
    document: Document, slices: Sequence[Document], traffic: Callable[[str], Traffic], problems: Problems
) -> list[Port]:
    """traffic: the TrafficPolicy for a port of that name."""
    service: Service = document.object
    affinity = float(service.spec.session_affinity_config.client_ip.timeout_seconds)
    name = name_of(document)
    ports = [
        Port(
            document,
            name,
            port,
            traffic(port.name),
            affinity if service.spec.session_affinity == "ClientIP" else None,
            sliced=bool(slices),
        )
        for port in tcp_ports(service)
    ]
    if service.spec.internal_traffic_policy == "Local":
        problems.warning(document.at(service.spec.line), f"{document}: internalTrafficPolicy Local is not obeyed")
    _join(ports, name, slices, problems)
    return ports


def without_service(name: ServiceName | None, slices: Sequence[Document], problems: Problems) -> None:
    """name None: the slices don't say to which Service they belong."""
    for document in slices:
        if name is None:
            why = "no label kubernetes.io/service-name: it belongs to no Service"
        else:
            why = f"Service {name} is not here: its endpoints are not used"
        problems.warning(document.place, f"{document}: {why}")


def _join(ports: list[Port], name: ServiceName, slices: Sequence[Document], problems: Problems) -> None:
    """Give every port the endpoints of the slices; a port and a slice's port belong together by name."""
    spare: dict[int, list[UpstreamAddress]] = {}
    for document in slices:
        one: EndpointSlice = document.object
        if one.address_type == "FQDN":
            problems.warning(
                document.place, f"{document}: addressType FQDN is not supported: its endpoints are not used"
            )
            continue
        matches = list(_matches(ports, one))
        if one.endpoints and not matches:
            there = ", ".join(repr(port.spec.name) for port in ports) or "none"
            problems.warning(
                document.place, f"{document}: none of its ports has the name of a TCP port of Service {name} ({there})"
            )
        for port, at in matches:
            for endpoint, address in _addresses(one, at):
                port.known.append(address)
                if endpoint.ready:
                    port.usable.append(address)
                elif endpoint.serving_while_terminating:
                    spare.setdefault(port.spec.port, []).append(address)
    for port in ports:
        # Kubernetes' own rule: while all endpoints terminate, those that still serve are better than none.
        if not port.usable:
            port.usable = spare.get(port.spec.port, [])
        if port.usable == port.known:
            port.usable = port.known


def _matches(ports: list[Port], one: EndpointSlice) -> Iterator[tuple[Port, EndpointPort]]:
    by_name = {port.name: port for port in one.ports if port.protocol == "TCP" and port.port is not None}
    for port in ports:
        at = by_name.get(port.spec.name)
        if at is not None:
            yield port, at


def _addresses(one: EndpointSlice, at: EndpointPort) -> Iterator[tuple[Endpoint, UpstreamAddress]]:
    for endpoint in one.endpoints:
        # The addresses of one endpoint are the same machine: the API asks consumers to take the first.
        yield endpoint, UpstreamAddress(Address(canonical_ip(endpoint.addresses[0]), at.port or 0))


def family_of(ip: str) -> int:
    return 6 if ":" in ip else 4
