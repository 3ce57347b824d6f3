"""What routes refer to: the ports they are attached to (parentRefs), and where they send connections (backendRefs)."""

from collections.abc import Iterator
from dataclasses import dataclass

from mesh.compile.catalogue import Catalogue
from mesh.compile.traffic import Attached
from mesh.documents import Document, Documents
from mesh.kinds.meta import CORE, GATEWAY, BackendObjectRef, BackendRef, ParentRef
from mesh.kinds.routes import ReferenceGrant
from mesh.yaml.problems import Problems
from proxy.core.policy.policy import ServiceName

PortKey = tuple[ServiceName, int]


@dataclass(frozen=True, slots=True)
class Share:
    """One backendRef. Without a port, `unresolved` says why it leads nowhere."""

    weight: int
    port: PortKey | None
    unresolved: str = ""
    subset: str = ""


class Attachment:
    """What the references in routes mean."""

    def __init__(
        self,
        documents: Documents,
        services: Catalogue,
        traffic: Attached,
        namespace: str | None,
        problems: Problems,
    ) -> None:
        """namespace: the workload's own; None: not known."""
        self._services = services
        self._traffic = traffic
        self._namespace = namespace
        self._problems = problems
        self._grants = [(document.namespace, grant.spec) for document, grant in documents.of(ReferenceGrant)]

    def ports(self, document: Document, parents: tuple[ParentRef, ...]) -> Iterator[PortKey]:
        """The ports that a route is attached to, each once."""
        found: dict[PortKey, None] = {}
        if not parents:
            self._problems.warning(document.place, f"{document}: no parentRefs: it is attached to nothing")
        for parent in parents:
            found.update(dict.fromkeys(self._of(document, parent)))
        yield from found

    def _of(self, document: Document, parent: ParentRef) -> Iterator[PortKey]:
        place = document.at(parent.line)
        if (parent.group, parent.kind) != (CORE, "Service"):
            what = f"{parent.kind} of group {parent.group!r}"
            self._problems.warning(
                place, f"{document}: parentRefs: {what} is not for a sidecar: only kind Service of group '' is"
            )
            return
        service = ServiceName(parent.namespace or document.namespace, parent.name)
        if service not in self._services:
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
        headless = self._services.service(service).spec.headless
        if headless:
            self._problems.warning(
                place, f"{document}: parentRefs: Service {service} is headless, its clients choose endpoints: no effect"
            )
            return
        ports = [
            (service, port.port)
            for port in self._services.ports(service)
            if parent.port in (None, port.port) and parent.section_name in (None, port.name)
        ]
        if not ports:
            wanted = f"TCP port {parent.port or ''}" + (
                f" named {parent.section_name!r}" if parent.section_name else ""
            )
            self._problems.warning(place, f"{document}: parentRefs: Service {service} has no {wanted}: no effect")
        yield from ports

    def consumes(self, document: Document, key: PortKey) -> bool:
        """Whether the route is its own namespace's view of another namespace's Service: such routes are asked first."""
        return document.namespace != key[0].namespace

    def share(self, document: Document, ref: BackendObjectRef, *, fate: str, field: str = "backendRefs") -> Share:
        """Where a reference leads. One that leads nowhere keeps its share, as Gateway API asks; fate: of that share."""
        weight = ref.weight if isinstance(ref, BackendRef) else 1
        why = self._why_not(document, ref)
        if why:
            self._problems.warning(document.at(ref.line), f"{document}: {field}: {why}: {fate}")
            return Share(weight, None, why)
        service = ServiceName(ref.namespace or document.namespace, ref.service_name or "")
        port = ref.port or 0
        if ref.subset and ref.subset not in self._subsets(service, port):
            known = ", ".join(sorted(self._subsets(service, port))) or "none"
            self._problems.error(
                document.at(ref.line),
                f"{document}: {field}: {ref.name!r} is not valid: no TrafficPolicy gives Service {service} port {port} "
                f"a subset {ref.subset!r} (there are: {known})",
            )
            return Share(weight, None, f"Service {service} has no subset {ref.subset}")
        return Share(weight, (service, port), subset=ref.subset)

    def _subsets(self, service: ServiceName, port: int) -> set[str]:
        name = next(one.name for one in self._services.ports(service) if one.port == port)
        return {one.name for one in self._traffic.to(service, name).subsets}

    def _why_not(self, document: Document, ref: BackendObjectRef) -> str:
        if ref.service_name is None:
            return f"{ref.kind} of group {ref.group!r} is no Service"
        service = ServiceName(ref.namespace or document.namespace, ref.service_name)
        if service.namespace != document.namespace and not self._granted(document, service):
            return (
                f"no ReferenceGrant in {service.namespace} lets {document.kind} of {document.namespace} use {service}"
            )
        if service not in self._services:
            return f"Service {service} is not here"
        if self._services.service(service).spec.type == "ExternalName":
            return f"Service {service} is of type ExternalName, which has no endpoints"
        if ref.port not in [port.port for port in self._services.ports(service)]:
            return f"Service {service} has no TCP port {ref.port}"
        return ""

    def _granted(self, document: Document, service: ServiceName) -> bool:
        asks = (GATEWAY, document.kind, document.namespace)
        return any(
            namespace == service.namespace
            and any((one.group, one.kind, one.namespace) == asks for one in spec.from_)
            and any((one.group, one.kind) == (CORE, "Service") and one.name in (None, service.name) for one in spec.to)
            for namespace, spec in self._grants
        )
