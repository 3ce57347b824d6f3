"""Routes that are attached to Services -> which port's connections go where."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mesh.compile.services import Port, Services
from mesh.compile.traffic import age
from mesh.documents import Document, Documents
from mesh.kinds.http import GrpcRoute, HttpRoute
from mesh.kinds.meta import CORE, BackendRef, ParentRef, TargetRef
from mesh.kinds.routes import ReferenceGrant, TcpRoute, TlsRoute, TlsRouteV1
from mesh.kinds.tls import BackendTlsPolicy, OldBackendTlsPolicy
from mesh.yaml.problems import Problems
from proxy.core.policy.policy import ServiceName

PortKey = tuple[ServiceName, int]


@dataclass(frozen=True, slots=True)
class Share:
    """One backendRef; port None: `unresolved` says why it is no good."""

    weight: int
    port: Port | None
    unresolved: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    route: str
    shares: tuple[Share, ...]


@dataclass(slots=True)
class Routing:
    """splits: the L4 route that decides for a port. l7: the HTTP and gRPC routes that are attached to one."""

    splits: dict[PortKey, Split] = field(default_factory=dict)
    l7: dict[PortKey, tuple[str, ...]] = field(default_factory=dict)


def routing(documents: Documents, services: Services, namespace: str | None, problems: Problems) -> Routing:
    """namespace: the workload's own, None when it is not known; consumer routes need it."""
    found = Routing()
    owners: dict[PortKey, Document] = {}
    attach = _Attachment(documents, services, namespace, problems)
    l7_routes: list[tuple[Document, HttpRoute | GrpcRoute]] = [*documents.of(HttpRoute), *documents.of(GrpcRoute)]
    for document, l7 in sorted(l7_routes, key=lambda pair: age(pair[0])):
        for port in attach.ports(document, l7.spec.parent_refs):
            key = (port.service, port.spec.port)
            found.l7[key] = (*found.l7.get(key, ()), str(document))
            text = f"{document} is not obeyed in this version: HTTP is not parsed yet; what it matches goes to"
            problems.warning(document.place, f"{text} Service {port.service} port {port.spec.port} itself")
        for ref in _backends(l7):
            attach.share(document, ref)
    # TLSRoute before TCPRoute, then the oldest: the order that Gateway API gives routes of one port.
    l4: list[tuple[Document, TlsRoute | TlsRouteV1 | TcpRoute]] = [
        *documents.of(TlsRoute),
        *documents.of(TlsRouteV1),
        *documents.of(TcpRoute),
    ]
    for document, route in sorted(l4, key=lambda pair: (isinstance(pair[1], TcpRoute), age(pair[0]))):
        rule = route.spec.rules[0]
        if len(route.spec.rules) > 1:
            line = route.spec.rules[1].line
            problems.warning(
                document.at(line), f"{document}: rules after the first have no effect: the first takes all"
            )
        shares = tuple(attach.share(document, ref) for ref in rule.backend_refs)
        if not isinstance(route, TcpRoute) and route.spec.hostnames:
            problems.warning(document.place, f"{document} is not obeyed in this version: hostnames need the TLS SNI")
            continue
        for port in attach.ports(document, route.spec.parent_refs):
            key = (port.service, port.spec.port)
            owner = owners.setdefault(key, document)
            if owner is document:
                found.splits[key] = Split(str(document), shares)
            else:
                what = f"{owner} ({owner.place}) decides for Service {port.service} port {port.spec.port} already"
                problems.warning(document.place, f"{document}: {what}: no effect there")
    _backend_tls(documents, services, problems)
    return found


class _Attachment:
    """What references of routes mean."""

    def __init__(self, documents: Documents, services: Services, namespace: str | None, problems: Problems) -> None:
        self._services = services
        self._namespace = namespace
        self._problems = problems
        self._grants = [(document.namespace, grant.spec) for document, grant in documents.of(ReferenceGrant)]

    def ports(self, document: Document, parents: tuple[ParentRef, ...]) -> Iterator[Port]:
        """The ports that a route is attached to, each once."""
        found: dict[PortKey, Port] = {}
        if not parents:
            self._problems.warning(document.place, f"{document}: no parentRefs: it is attached to nothing")
        for parent in parents:
            found.update(((port.service, port.spec.port), port) for port in self._of(document, parent))
        yield from found.values()

    def _of(self, document: Document, parent: ParentRef) -> Iterator[Port]:
        place = document.at(parent.line)
        if (parent.group, parent.kind) != (CORE, "Service"):
            what = f"{parent.kind} of group {parent.group!r}"
            self._problems.warning(
                place, f"{document}: parentRefs: {what} is not for a sidecar: only kind Service of group '' is"
            )
            return
        service = ServiceName(parent.namespace or document.namespace, parent.name)
        if service not in self._services.documents:
            self._problems.warning(place, f"{document}: parentRefs: Service {service} is not here: no effect")
            return
        if document.namespace not in (service.namespace, self._namespace):
            own = "unknown (POD_NAMESPACE is not set)" if self._namespace is None else self._namespace
            self._problems.warning(
                place,
                f"{document}: parentRefs: Service {service} is in another namespace, so this is a route for the "
                f"workloads of {document.namespace} only, and ours is {own}: no effect",
            )
            return
        headless = self._services.documents[service][1].spec.headless
        if headless:
            self._problems.warning(
                place, f"{document}: parentRefs: Service {service} is headless, its clients choose endpoints: no effect"
            )
            return
        ports = [
            port
            for port in self._services.ports_of(service)
            if parent.port in (None, port.spec.port) and parent.section_name in (None, port.spec.name)
        ]
        if not ports:
            wanted = f"TCP port {parent.port or ''}" + (
                f" named {parent.section_name!r}" if parent.section_name else ""
            )
            self._problems.warning(place, f"{document}: parentRefs: Service {service} has no {wanted}: no effect")
        yield from ports

    def share(self, document: Document, ref: BackendRef) -> Share:
        """Where a backendRef leads. One that leads nowhere keeps its share, as Gateway API asks: it is reset."""
        service = ServiceName(ref.namespace or document.namespace, ref.name)
        why = self._why_not(document, ref, service)
        if why:
            place = document.at(ref.line)
            self._problems.warning(place, f"{document}: backendRefs: {why}: its share of the connections is reset")
            return Share(ref.weight, None, why)
        return Share(ref.weight, self._services.ports[service, ref.port or 0])

    def _why_not(self, document: Document, ref: BackendRef, service: ServiceName) -> str:
        if (ref.group, ref.kind) != (CORE, "Service"):
            return f"{ref.kind} of group {ref.group!r} is no Service"
        if service.namespace != document.namespace and not self._granted(document, service):
            return (
                f"no ReferenceGrant in {service.namespace} lets {document.kind} of {document.namespace} use {service}"
            )
        if service not in self._services.documents:
            return f"Service {service} is not here"
        if self._services.documents[service][1].spec.type == "ExternalName":
            return f"Service {service} is of type ExternalName, which has no endpoints"
        if (service, ref.port or 0) not in self._services.ports:
            return f"Service {service} has no TCP port {ref.port}"
        return ""

    def _granted(self, document: Document, service: ServiceName) -> bool:
        asks = ("gateway.networking.k8s.io", document.kind, document.namespace)
        return any(
            namespace == service.namespace
            and any((one.group, one.kind, one.namespace) == asks for one in spec.from_)
            and any((one.group, one.kind) == (CORE, "Service") and one.name in (None, service.name) for one in spec.to)
            for namespace, spec in self._grants
        )


def _backends(route: HttpRoute | GrpcRoute) -> Iterator[BackendRef]:
    for rule in route.spec.rules:
        yield from rule.backend_refs


def _backend_tls(documents: Documents, services: Services, problems: Problems) -> None:
    found: list[tuple[Document, tuple[TargetRef, ...]]] = [
        *((document, policy.spec.target_refs) for document, policy in documents.of(BackendTlsPolicy)),
        *((document, (policy.spec.target_ref,)) for document, policy in documents.of(OldBackendTlsPolicy)),
    ]
    for document, targets in found:
        for target in targets:
            service = ServiceName(document.namespace, target.name)
            place = document.at(target.line)
            if (target.group, target.kind) == (CORE, "Service") and service not in services.documents:
                problems.warning(place, f"{document}: targetRefs: Service {service} is not here: no effect")
        problems.warning(document.place, f"{document} is not obeyed in this version: connections go on as they came")
