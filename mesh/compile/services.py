"""A Service and its EndpointSlices -> its TCP ports, with their endpoints. Nothing else than TCP is proxied."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from mesh.compile.catalogue import name_of, tcp_ports
from mesh.compile.home import Home
from mesh.compile.ports import Port, has_labels
from mesh.compile.traffic import Traffic
from mesh.documents import Document
from mesh.kinds.core import Endpoint, EndpointPort, EndpointSlice, Hints, Service
from mesh.yaml.problems import Problems
from mesh.yaml.texts import canonical_ip
from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.policy.cluster import Locality, ServiceName

_REGIONS = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONES = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_SUBZONES = ("topology.istio.io/subzone",)
Pods = Mapping[tuple[str, str], Mapping[str, str]]
"""Namespace and name of a Pod -> its labels."""


def ports_of(
    document: Document,
    slices: Sequence[Document],
    traffic: Callable[[str], Traffic],
    problems: Problems,
    *,
    home: Home,
    pods: Pods,
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
    local = service.spec.internal_traffic_policy == "Local"
    if local and not home.node:
        problems.warning(
            document.at(service.spec.line),
            f"{document}: internalTrafficPolicy Local is not obeyed: NODE_NAME does not say which node this is",
        )
    _Join(ports, home, pods, local=local and bool(home.node)).take(name, slices, problems)
    for port in ports:
        for subset in port.traffic.subsets if slices else ():
            if not any(has_labels(port.labels[one], subset.labels) for one in port.known):
                what = f"no endpoint of port {port.spec.port} has the labels of subset {subset.name!r}"
                problems.warning(document.place, f"{document}: {what}: they are those of its Pods and EndpointSlices")
    return ports


def without_service(name: ServiceName | None, slices: Sequence[Document], problems: Problems) -> None:
    """name None: the slices don't say to which Service they belong."""
    for document in slices:
        if name is None:
            why = "no label kubernetes.io/service-name: it belongs to no Service"
        else:
            why = f"Service {name} is not here: its endpoints are not used"
        problems.warning(document.place, f"{document}: {why}")


class _Join:
    """Gives every port the endpoints of the slices; a port and a slice's port belong together by name."""

    def __init__(self, ports: list[Port], home: Home, pods: Pods, *, local: bool) -> None:
        """local: only endpoints of the home's node are used."""
        self._ports = ports
        self._home = home
        self._pods = pods
        self._local = local
        self._labelled = any(port.traffic.subsets for port in ports)
        self._ready: dict[int, list[tuple[UpstreamAddress, Hints]]] = {port.spec.port: [] for port in ports}
        self._spare: dict[int, list[tuple[UpstreamAddress, Hints]]] = {port.spec.port: [] for port in ports}

    def take(self, name: ServiceName, slices: Sequence[Document], problems: Problems) -> None:
        for document in slices:
            one: EndpointSlice = document.object
            if one.address_type == "FQDN":
                problems.warning(
                    document.place, f"{document}: addressType FQDN is not supported: its endpoints are not used"
                )
                continue
            matches = list(_matches(self._ports, one))
            if one.endpoints and not matches:
                there = ", ".join(repr(port.spec.name) for port in self._ports) or "none"
                what = f"none of its ports has the name of a TCP port of Service {name} ({there})"
                problems.warning(document.place, f"{document}: {what}")
            for port, at in matches:
                self._endpoints(port, at, document)
        for port in self._ports:
            # Kubernetes' own rule: while all endpoints terminate, those that still serve are better than none.
            port.usable = self._home.near(self._ready[port.spec.port] or self._spare[port.spec.port])
            if port.usable == port.known:
                port.usable = port.known

    def _endpoints(self, port: Port, at: EndpointPort, document: Document) -> None:
        one: EndpointSlice = document.object
        ready, spare = self._ready[port.spec.port], self._spare[port.spec.port]
        for endpoint in one.endpoints:
            # The addresses of one endpoint are the same machine: the API asks consumers to take the first.
            address = UpstreamAddress(Address(canonical_ip(endpoint.addresses[0]), at.port or 0))
            port.known.append(address)
            if port.traffic.upstream.locality is not None:
                port.localities[address] = locality(endpoint)
            if self._labelled:
                port.labels[address] = self._labels(endpoint, document)
            if self._local and endpoint.node_name != self._home.node:
                continue
            if endpoint.ready:
                ready.append((address, endpoint.hints))
            elif endpoint.serving_while_terminating:
                spare.append((address, endpoint.hints))

    def _labels(self, endpoint: Endpoint, document: Document) -> Mapping[str, str]:
        """Those of the slice, which hold for all its endpoints, and those of the Pod, which win."""
        behind = endpoint.target_ref
        pod = None
        if behind is not None and behind.kind == "Pod":
            pod = self._pods.get((behind.namespace or document.namespace, behind.name))
        own: Mapping[str, str] = document.object.metadata.labels
        return own if pod is None else {**own, **pod}


def locality(endpoint: Endpoint) -> Locality:
    labels = endpoint.labels()

    def first(names: tuple[str, ...]) -> str:
        return next((labels[name] for name in names if name in labels), "")

    return Locality(first(_REGIONS), endpoint.zone or first(_ZONES), first(_SUBZONES))


def _matches(ports: list[Port], one: EndpointSlice) -> Iterator[tuple[Port, EndpointPort]]:
    by_name = {port.name: port for port in one.ports if port.protocol == "TCP" and port.port is not None}
    for port in ports:
        at = by_name.get(port.spec.name)
        if at is not None:
            yield port, at
