"""What every document has: metadata, and references to other documents."""

from collections.abc import Iterator
from typing import Literal

from msgspec import field

from mesh.yaml.names import Group, KindName, Name, Namespace, PortName, Timestamp
from mesh.yaml.shapes import Shape
from mesh.yaml.texts import Port, Weight

CORE = ""
GATEWAY = "gateway.networking.k8s.io"
OWN = "tidegate.dev"
SUBSET = "Subset"


class Metadata(Shape, frozen=True, kw_only=True):
    open = True
    name: Name
    namespace: Namespace = "default"
    labels: dict[str, str] = field(default_factory=dict)
    creation_timestamp: Timestamp = "9999-12-31T23:59:59Z"
    """Documents that no API server has stamped are younger than all that one has."""


class Published(Shape, frozen=True, kw_only=True):
    """A document of a published kind. Its status is not looked at, unless the kind describes it."""

    unheeded = frozenset({"apiVersion", "kind", "status"})
    metadata: Metadata


class ParentRef(Shape, frozen=True, kw_only=True):
    group: Group = GATEWAY
    kind: KindName = "Gateway"
    namespace: Namespace | None = None
    name: Name
    section_name: Name | None = None
    port: Port | None = None


class BackendObjectRef(Shape, frozen=True, kw_only=True):
    """A Service, or one of its subsets: kind Subset of our own group, whose name is SUBSET.SERVICE."""

    group: Group = CORE
    kind: KindName = "Service"
    name: Name
    namespace: Namespace | None = None
    port: Port | None = None

    @property
    def service_name(self) -> str | None:
        """None: it is none of a kind that can be sent to."""
        if (self.group, self.kind) == (CORE, "Service"):
            return self.name
        return self.name.partition(".")[2] if (self.group, self.kind) == (OWN, SUBSET) else None

    @property
    def subset(self) -> str:
        """Empty: the whole Service."""
        return self.name.partition(".")[0] if (self.group, self.kind) == (OWN, SUBSET) else ""

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.service_name is not None and self.port is None:
            yield self.line, f"port: is missing: a reference to a {self.kind} names one of the Service's ports"
        if self.service_name == "":
            yield self.line, f"name: {self.name!r} is not valid: SUBSET.SERVICE, such as v1.shop"


class BackendRef(BackendObjectRef, frozen=True, kw_only=True):
    weight: Weight = 1


class TargetRef(Shape, frozen=True, kw_only=True):
    """What a policy is attached to, in the policy's own namespace; section_name is a port's name."""

    group: Group
    kind: KindName
    name: Name
    section_name: PortName | None = None


class Own(Shape, frozen=True, kw_only=True):
    """A mapping of our own group."""


class OwnTargetRef(Own, frozen=True, kw_only=True):
    group: Literal[""] = ""
    kind: Literal["Service"] = "Service"
    name: Name
    section_name: PortName | None = None
