"""Gateway API's routes for opaque connections, and what allows references to other namespaces."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, field

from mesh.kinds.meta import BackendRef, ParentRef, Published
from mesh.yaml.names import Group, Hostname, KindName, Name, Namespace
from mesh.yaml.shapes import Shape


class RouteSpec(Shape, frozen=True, kw_only=True):
    """What routes of every kind have."""

    unobeyed = frozenset({"useDefaultGateways"})
    parent_refs: Annotated[tuple[ParentRef, ...], Meta(max_length=32)] = ()


class L4Rule(Shape, frozen=True, kw_only=True):
    name: Name | None = None
    backend_refs: Annotated[tuple[BackendRef, ...], Meta(min_length=1, max_length=16)]


class TcpSpec(RouteSpec, frozen=True, kw_only=True):
    rules: Annotated[tuple[L4Rule, ...], Meta(min_length=1, max_length=16)]


class TcpRoute(Published, frozen=True, kw_only=True):
    spec: TcpSpec


class TlsSpec(RouteSpec, frozen=True, kw_only=True):
    hostnames: Annotated[tuple[Hostname, ...], Meta(max_length=1024)] = ()
    rules: Annotated[tuple[L4Rule, ...], Meta(min_length=1, max_length=16)]

    def mistakes(self) -> Iterator[tuple[int, str]]:
        for name in self.hostnames:
            if name.replace(".", "").isdigit():
                yield self.line, f"hostnames: {name!r} is not valid: a name in a TLS ClientHello is no address"


class TlsRoute(Published, frozen=True, kw_only=True):
    """v1alpha2 and v1alpha3: hostnames may be left out."""

    spec: TlsSpec


class TlsSpecV1(TlsSpec, frozen=True, kw_only=True):
    def mistakes(self) -> Iterator[tuple[int, str]]:
        yield from super().mistakes()
        if not self.hostnames:
            yield self.line, "hostnames: is missing: v1 asks for at least one"


class TlsRouteV1(Published, frozen=True, kw_only=True):
    spec: TlsSpecV1


class GrantFrom(Shape, frozen=True, kw_only=True):
    group: Group
    kind: KindName
    namespace: Namespace


class GrantTo(Shape, frozen=True, kw_only=True):
    group: Group
    kind: KindName
    name: Name | None = None


class GrantSpec(Shape, frozen=True, kw_only=True):
    from_: Annotated[tuple[GrantFrom, ...], Meta(min_length=1, max_length=16)] = field(name="from")
    to: Annotated[tuple[GrantTo, ...], Meta(min_length=1, max_length=16)]


class ReferenceGrant(Published, frozen=True, kw_only=True):
    spec: GrantSpec
