"""What every document has: metadata, and references to other documents."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, field

from mesh.yaml.shapes import Shape
from mesh.yaml.texts import Group, KindName, Name, Namespace, Port, PortName, Weight

CORE = ""
GATEWAY = "gateway.networking.k8s.io"
OWN = "tidegate.dev"

Timestamp = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z\Z",
        extra={"allowed": "a UTC time such as 2026-01-31T12:00:00Z"},
    ),
]


class Metadata(Shape, frozen=True, kw_only=True):
    name: Name
    namespace: Namespace = "default"
    labels: dict[str, str] = field(default_factory=dict)
    creation_timestamp: Timestamp = "9999-12-31T23:59:59Z"
    """Documents that no API server has stamped are younger than all that one has."""


class ParentRef(Shape, frozen=True, kw_only=True):
    group: Group = GATEWAY
    kind: KindName = "Gateway"
    namespace: Namespace | None = None
    name: Name
    section_name: Name | None = None
    port: Port | None = None


class BackendRef(Shape, frozen=True, kw_only=True):
    group: Group = CORE
    kind: KindName = "Service"
    name: Name
    namespace: Namespace | None = None
    port: Port | None = None
    weight: Weight = 1

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.group == CORE and self.kind == "Service" and self.port is None:
            yield self.line, "port: is missing: a reference to a Service names one of its ports"


class TargetRef(Shape, frozen=True, kw_only=True):
    """What a policy is attached to, in the policy's own namespace; section_name is a port's name."""

    group: Group
    kind: KindName
    name: Name
    section_name: PortName | None = None


class Own(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of our own group: an unknown field is an error."""


class OwnTargetRef(Own, frozen=True, kw_only=True):
    group: Literal[""] = ""
    kind: Literal["Service"] = "Service"
    name: Name
    section_name: PortName | None = None
