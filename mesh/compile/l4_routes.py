"""Routes that are attached to Services -> which port's connections go where."""

from dataclasses import dataclass, field

from mesh.compile.attachment import Attachment, PortKey, Share, backends
from mesh.compile.catalogue import Catalogue
from mesh.compile.traffic import age
from mesh.documents import Document, Documents
from mesh.kinds.http import GrpcRoute, HttpRoute
from mesh.kinds.meta import CORE, TargetRef
from mesh.kinds.routes import TcpRoute, TlsRoute, TlsRouteV1
from mesh.kinds.tls import BackendTlsPolicy, OldBackendTlsPolicy
from mesh.yaml.problems import Problems
from proxy.core.policy.policy import ServiceName


@dataclass(frozen=True, slots=True)
class Split:
    route: str
    shares: tuple[Share, ...]


@dataclass(slots=True)
class Routing:
    """splits: the L4 route that decides for a port. l7: the HTTP and gRPC routes that are attached to one."""

    splits: dict[PortKey, Split] = field(default_factory=dict)
    l7: dict[PortKey, tuple[str, ...]] = field(default_factory=dict)


def routing(documents: Documents, services: Catalogue, namespace: str | None, problems: Problems) -> Routing:
    """namespace: the workload's own, None when it is not known; consumer routes need it."""
    found = Routing()
    owners: dict[PortKey, Document] = {}
    attach = Attachment(documents, services, namespace, problems)
    l7_routes: list[tuple[Document, HttpRoute | GrpcRoute]] = [*documents.of(HttpRoute), *documents.of(GrpcRoute)]
    for document, l7 in sorted(l7_routes, key=lambda pair: age(pair[0])):
        for key in attach.ports(document, l7.spec.parent_refs):
            found.l7[key] = (*found.l7.get(key, ()), str(document))
            text = f"{document} is not obeyed in this version: HTTP is not parsed yet; what it matches goes to"
            problems.warning(document.place, f"{text} Service {key[0]} port {key[1]} itself")
        for ref in backends(l7):
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
        for key in attach.ports(document, route.spec.parent_refs):
            owner = owners.setdefault(key, document)
            if owner is document:
                found.splits[key] = Split(str(document), shares)
            else:
                what = f"{owner} ({owner.place}) decides for Service {key[0]} port {key[1]} already"
                problems.warning(document.place, f"{document}: {what}: no effect there")
    _backend_tls(documents, services, problems)
    return found


def _backend_tls(documents: Documents, services: Catalogue, problems: Problems) -> None:
    found: list[tuple[Document, tuple[TargetRef, ...]]] = [
        *((document, policy.spec.target_refs) for document, policy in documents.of(BackendTlsPolicy)),
        *((document, (policy.spec.target_ref,)) for document, policy in documents.of(OldBackendTlsPolicy)),
    ]
    for document, targets in found:
        for target in targets:
            service = ServiceName(document.namespace, target.name)
            place = document.at(target.line)
            if (target.group, target.kind) == (CORE, "Service") and service not in services:
                problems.warning(place, f"{document}: targetRefs: Service {service} is not here: no effect")
        problems.warning(document.place, f"{document} is not obeyed in this version: connections go on as they came")
