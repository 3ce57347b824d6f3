"""GRPCRoute."""

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from mesh.kinds.filters import GrpcFilter
from mesh.kinds.http import MatchType, ValueMatch
from mesh.kinds.meta import BackendRef, Published
from mesh.kinds.patterns import regular_expression
from mesh.kinds.routes import RouteSpec
from mesh.kinds.sessions import SessionPersistence
from mesh.yaml.names import Hostname, Name
from mesh.yaml.shapes import Shape

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class GrpcMethod(Shape, frozen=True, kw_only=True):
    type: MatchType = "Exact"
    service: Annotated[str, Meta(max_length=1024)] | None = None
    method: Annotated[str, Meta(max_length=1024)] | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if not self.service and not self.method:
            yield self.line, "service and method: at least one of them must be given"
        for name, value in (("service", self.service), ("method", self.method)):
            if value and self.type == "RegularExpression":
                yield from regular_expression(self.line, name, value)
            elif value and not _IDENTIFIER.fullmatch(value):
                yield self.line, f"{name}: {value!r} is not valid: a protobuf name such as helloworld.Greeter"


class GrpcMatch(Shape, frozen=True, kw_only=True):
    method: GrpcMethod | None = None
    headers: Annotated[tuple[ValueMatch, ...], Meta(max_length=16)] = ()


class GrpcBackendRef(BackendRef, frozen=True, kw_only=True):
    filters: Annotated[tuple[GrpcFilter, ...], Meta(max_length=16)] = ()


class GrpcRule(Shape, frozen=True, kw_only=True):
    name: Name | None = None
    matches: Annotated[tuple[GrpcMatch, ...], Meta(max_length=64)] = ()
    filters: Annotated[tuple[GrpcFilter, ...], Meta(max_length=16)] = ()
    backend_refs: Annotated[tuple[GrpcBackendRef, ...], Meta(max_length=16)] = ()
    session_persistence: SessionPersistence | None = None


class GrpcSpec(RouteSpec, frozen=True, kw_only=True):
    hostnames: Annotated[tuple[Hostname, ...], Meta(max_length=16)] = ()
    rules: Annotated[tuple[GrpcRule, ...], Meta(max_length=16)] = ()


class GrpcRoute(Published, frozen=True, kw_only=True):
    spec: GrpcSpec
