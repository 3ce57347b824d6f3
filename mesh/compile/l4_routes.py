"""TCPRoutes and TLSRoutes that are attached to Services -> which port's connections go where."""

from dataclasses import dataclass

from mesh.compile.attachment import Attachment, PortKey, Share
from mesh.compile.catalogue import Catalogue
from mesh.compile.in_force import ROUTES_NOT_IN_FORCE
from mesh.compile.traffic import age
from mesh.documents import Document, Documents
from mesh.kinds.meta import CORE, TargetRef
from mesh.kinds.routes import TcpRoute, TlsRoute, TlsRouteV1
from mesh.kinds.tls import BackendTlsPolicy, OldBackendTlsPolicy
from mesh.yaml.problems import Problems
from proxy.core.policy.policy import ServiceName

_FATE = "its share of the connections is reset"
L4Route = TlsRoute | TlsRouteV1 | TcpRoute


@dataclass(frozen=True, slots=True)
class Split:
    route: str
    shares: tuple[Share, ...]
    hostname: str = ""
    """The server name of the connections that it is for; empty: all connections."""


Splits = dict[PortKey, tuple[Split, ...]]
"""Of a port, in the order in which they are asked: those for server names, the most precise first, then the one for all
connections, if any."""


def splits(documents: Documents, attach: Attachment, problems: Problems) -> Splits:
    found: Splits = {}
    owners: dict[PortKey, Document] = {}
    # TLSRoute before TCPRoute, then the oldest: the order that Gateway API gives routes of one port.
    routes: list[tuple[Document, L4Route]] = [
        *documents.of(TlsRoute),
        *documents.of(TlsRouteV1),
        *documents.of(TcpRoute),
    ]
    for document, route in sorted(routes, key=lambda pair: (isinstance(pair[1], TcpRoute), age(pair[0]))):
        shares = _shares(document, route, attach, problems)
        hostnames = () if isinstance(route, TcpRoute) else route.spec.hostnames
        if hostnames and "TLSRoute.hostnames" in ROUTES_NOT_IN_FORCE:
            problems.warning(document.place, f"{document} is not obeyed in this version: hostnames need the TLS SNI")
        for key in attach.ports(document, route.spec.parent_refs):
            owner = document if hostnames else owners.setdefault(key, document)
            if owner is document:
                made = [Split(str(document), shares, name) for name in hostnames or ("",)]
                found[key] = (*found.get(key, ()), *made)
            else:
                what = f"{owner} ({owner.place}) decides for Service {key[0]} port {key[1]} already"
                problems.warning(document.place, f"{document}: {what}: no effect there")
    return {key: tuple(sorted(some, key=_order)) for key, some in found.items()}


def _shares(document: Document, route: L4Route, attach: Attachment, problems: Problems) -> tuple[Share, ...]:
    rule = route.spec.rules[0]
    if len(route.spec.rules) > 1:
        line = route.spec.rules[1].line
        problems.warning(document.at(line), f"{document}: rules after the first have no effect: the first takes all")
    return tuple(attach.share(document, ref, fate=_FATE) for ref in rule.backend_refs)


def _order(split: Split) -> tuple[object, ...]:
    """Precise names before wildcards, longer ones before shorter ones, all before the split for all connections."""
    return not split.hostname, split.hostname.startswith("*"), -len(split.hostname)


def backend_tls(documents: Documents, services: Catalogue, problems: Problems) -> None:
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
        if document.kind in ROUTES_NOT_IN_FORCE:
            problems.warning(
                document.place, f"{document} is not obeyed in this version: connections go on as they came"
            )
