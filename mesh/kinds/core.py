"""Service and EndpointSlice."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, field

from mesh.kinds.meta import Metadata, Published
from mesh.yaml.names import PortName
from mesh.yaml.shapes import Shape
from mesh.yaml.sink import Invalid
from mesh.yaml.texts import ClusterIp, Ip, Port, canonical_ip

Protocol = Literal["TCP", "UDP", "SCTP"]
Few = Annotated[str, Meta(extra={"few": True})]
"""A text of which there are few different ones, each in many places."""
SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class ServicePort(Shape, frozen=True, kw_only=True):
    unheeded = frozenset({"nodePort"})
    name: PortName = ""
    protocol: Protocol = "TCP"
    app_protocol: str | None = None
    port: Port
    target_port: Port | PortName | None = None


class ClientIpConfig(Shape, frozen=True, kw_only=True):
    timeout_seconds: Annotated[int, Meta(ge=1, le=86400)] = 10800


class SessionAffinityConfig(Shape, frozen=True, kw_only=True):
    client_ip: ClientIpConfig = field(name="clientIP", default_factory=ClientIpConfig)


class ServiceSpec(Shape, frozen=True, kw_only=True):
    """What is unheeded says how addresses and endpoints come to be, or what happens outside the cluster: a sidecar
    sees the outcome."""

    unheeded = frozenset(
        {
            "allocateLoadBalancerNodePorts",
            "externalName",
            "externalTrafficPolicy",
            "healthCheckNodePort",
            "ipFamilies",
            "ipFamily",
            "ipFamilyPolicy",
            "loadBalancerClass",
            "loadBalancerIP",
            "loadBalancerSourceRanges",
            "selector",
        }
    )
    unobeyed = frozenset({"topologyKeys"})
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    cluster_ip: ClusterIp = field(name="clusterIP", default="")
    cluster_ips: tuple[ClusterIp, ...] = field(name="clusterIPs", default=())
    external_ips: tuple[Ip, ...] = field(name="externalIPs", default=())
    ports: tuple[ServicePort, ...] = ()
    session_affinity: Literal["None", "ClientIP"] = "None"
    session_affinity_config: SessionAffinityConfig = field(default_factory=SessionAffinityConfig)
    publish_not_ready_addresses: bool = False
    internal_traffic_policy: Literal["Cluster", "Local"] = "Cluster"
    traffic_distribution: str | None = None

    @property
    def headless(self) -> bool:
        return "None" in (self.cluster_ip, *self.cluster_ips[:1])

    def virtual_addresses(self) -> list[str]:
        """Canonical cluster IPs of both families and external IPs; none of a headless or external-name Service."""
        if self.headless or self.type == "ExternalName":
            return []
        given = (self.cluster_ip, *self.cluster_ips, *self.external_ips)
        return list(dict.fromkeys(canonical_ip(one) for one in given if one))

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.cluster_ip and self.cluster_ips and self.cluster_ip != self.cluster_ips[0]:
            yield self.line, f"clusterIPs[0]: {self.cluster_ips[0]!r} is not valid: allowed is clusterIP's value"
        if not self.ports and not self.headless and self.type != "ExternalName":
            yield self.line, "ports: is missing: a Service has at least one"
        names: set[str] = set()
        numbers: set[tuple[str, int]] = set()
        for port in self.ports:
            if len(self.ports) > 1 and not port.name:
                yield port.line, "ports[].name: is missing: a Service with several ports names each"
            elif port.name in names:
                yield port.line, f"ports[].name: {port.name!r} is not valid: another port of this Service has that name"
            if (port.protocol, port.port) in numbers:
                yield port.line, f"ports[].port: {port.port} is not valid: {port.protocol} {port.port} is there already"
            names.add(port.name)
            numbers.add((port.protocol, port.port))


class Ingress(Shape, frozen=True, kw_only=True):
    open = True
    ip: Ip | None = None
    ip_mode: Literal["VIP", "Proxy"] = "VIP"


class LoadBalancerStatus(Shape, frozen=True, kw_only=True):
    open = True
    ingress: tuple[Ingress, ...] = ()


class ServiceStatus(Shape, frozen=True, kw_only=True):
    open = True
    load_balancer: LoadBalancerStatus = field(default_factory=LoadBalancerStatus)


class Pod(Shape, frozen=True, kw_only=True):
    """Only its labels matter: they say to which subsets of a Service the endpoint belongs."""

    open = True
    metadata: Metadata


class Service(Published, frozen=True, kw_only=True):
    spec: ServiceSpec
    status: ServiceStatus = field(default_factory=ServiceStatus)

    def addresses(self) -> list[str]:
        """Every address at which clients reach the Service through its virtual side. An ingress of mode Proxy is
        a machine outside that must see the connection, so the Service does not claim it."""
        found = self.spec.virtual_addresses()
        if self.spec.type == "LoadBalancer" and not self.spec.headless:
            for one in self.status.load_balancer.ingress:
                if one.ip is not None and one.ip_mode == "VIP":
                    found.append(canonical_ip(one.ip))
        return list(dict.fromkeys(found))


class Conditions(Shape, frozen=True, kw_only=True):
    """Absent means unknown, which the API asks consumers to take as ready and as not terminating."""

    shared = True
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(Shape, frozen=True, kw_only=True):
    shared = True
    name: str


class Hints(Shape, frozen=True, kw_only=True):
    """Whose callers the endpoint is for."""

    shared = True
    for_zones: tuple[ForZone, ...] = ()
    for_nodes: tuple[ForZone, ...] = ()


NO_HINTS = Hints()


class EndpointRef(Shape, frozen=True, kw_only=True):
    """What stands behind an endpoint: a Pod, usually."""

    open = True
    kind: Few = ""
    namespace: Few = ""
    name: str = ""


class Endpoint(Shape, frozen=True, kw_only=True):
    unheeded = frozenset({"hostname"})
    addresses: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)]
    conditions: Conditions = field(default_factory=Conditions)
    target_ref: EndpointRef | None = None
    node_name: Few = ""
    zone: Few = ""
    topology: dict[str, str] | None = None
    """Of v1beta1. Labels of the node."""
    deprecated_topology: dict[str, str] | None = None
    hints: Hints = NO_HINTS

    def labels(self) -> dict[str, str]:
        """Of the node that the endpoint is on, as far as the slice knows them."""
        return self.topology or self.deprecated_topology or {}

    @property
    def ready(self) -> bool:
        return self.conditions.ready is not False

    @property
    def serving_while_terminating(self) -> bool:
        return bool(self.conditions.serving) and bool(self.conditions.terminating)


class EndpointPort(Shape, frozen=True, kw_only=True):
    name: PortName = ""
    protocol: Protocol = "TCP"
    port: Port | None = None
    app_protocol: str | None = None


class EndpointSlice(Published, frozen=True, kw_only=True):
    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: Annotated[tuple[Endpoint, ...], Meta(max_length=1000)] = ()
    ports: Annotated[tuple[EndpointPort, ...], Meta(max_length=100)] = ()

    @property
    def service(self) -> str | None:
        return self.metadata.labels.get(SERVICE_NAME_LABEL)

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.address_type == "FQDN":
            return
        for endpoint in self.endpoints:
            for address in endpoint.addresses:
                try:
                    good = (":" in canonical_ip(address)) == (self.address_type == "IPv6")
                except Invalid:
                    good = False
                if not good:
                    allowed = f"an {self.address_type} address, as addressType says"
                    yield endpoint.line, f"endpoints[].addresses: {address!r} is not valid: {allowed}"
