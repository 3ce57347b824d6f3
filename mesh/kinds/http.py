"""HTTPRoute and GRPCRoute: read and validated. Which of it is obeyed is for the compiler to say."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from mesh.kinds.filters import GrpcFilter, HeaderName, HeaderValue, HttpFilter
from mesh.kinds.meta import BackendRef, Metadata
from mesh.kinds.routes import ParentRefs
from mesh.yaml.shapes import Shape
from mesh.yaml.sink import Invalid
from mesh.yaml.texts import GatewayDuration, Hostname, Name

MatchType = Literal["Exact", "RegularExpression"]
HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
_IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\Z"


class PathMatch(Shape, frozen=True, kw_only=True):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: Annotated[str, Meta(max_length=1024)] = "/"

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.type == "RegularExpression":
            yield from regular_expression(self.line, self.value)
        elif not self.value.startswith("/") or any(bad in self.value for bad in ("//", "/./", "/../", "#", "%2f")):
            yield self.line, f"value: {self.value!r} is not valid: an absolute path without //, /./, /../, %2f and #"


class ValueMatch(Shape, frozen=True, kw_only=True):
    type: MatchType = "Exact"
    name: HeaderName
    value: HeaderValue

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.type == "RegularExpression":
            yield from regular_expression(self.line, self.value)


class HttpMatch(Shape, frozen=True, kw_only=True):
    path: PathMatch = PathMatch()
    headers: Annotated[tuple[ValueMatch, ...], Meta(max_length=16)] = ()
    query_params: Annotated[tuple[ValueMatch, ...], Meta(max_length=16)] = ()
    method: HttpMethod | None = None


class Timeouts(Shape, frozen=True, kw_only=True):
    request: GatewayDuration | None = None
    backend_request: GatewayDuration | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.request is None or self.backend_request is None:
            return
        whole, each = gateway_seconds(self.request), gateway_seconds(self.backend_request)
        if whole and each > whole:
            yield self.line, f"backendRequest: {self.backend_request!r} is not valid: at most request's {self.request}"


class Retry(Shape, frozen=True, kw_only=True):
    codes: tuple[Annotated[int, Meta(ge=400, le=599)], ...] = ()
    attempts: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    backoff: GatewayDuration | None = None


class Cookie(Shape, frozen=True, kw_only=True):
    lifetime_type: Literal["Permanent", "Session"] = "Session"


class SessionPersistence(Shape, frozen=True, kw_only=True):
    session_name: Annotated[str, Meta(max_length=128)] | None = None
    absolute_timeout: GatewayDuration | None = None
    idle_timeout: GatewayDuration | None = None
    type: Literal["Cookie", "Header"] = "Cookie"
    cookie_config: Cookie = Cookie()


class HttpBackendRef(BackendRef, frozen=True, kw_only=True):
    filters: Annotated[tuple[HttpFilter, ...], Meta(max_length=16)] = ()


class HttpRule(Shape, frozen=True, kw_only=True):
    name: Name | None = None
    matches: Annotated[tuple[HttpMatch, ...], Meta(max_length=64)] = (HttpMatch(),)
    filters: Annotated[tuple[HttpFilter, ...], Meta(max_length=16)] = ()
    backend_refs: Annotated[tuple[HttpBackendRef, ...], Meta(max_length=16)] = ()
    timeouts: Timeouts | None = None
    retry: Retry | None = None
    session_persistence: SessionPersistence | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        redirects = [one for one in self.filters if one.type == "RequestRedirect"]
        if redirects and self.backend_refs:
            yield redirects[0].line, "filters: a RequestRedirect and backendRefs exclude each other"
        if redirects and any(one.type == "URLRewrite" for one in self.filters):
            yield redirects[0].line, "filters: RequestRedirect and URLRewrite exclude each other"


class HttpSpec(Shape, frozen=True, kw_only=True):
    parent_refs: ParentRefs = ()
    hostnames: Annotated[tuple[Hostname, ...], Meta(max_length=16)] = ()
    rules: Annotated[tuple[HttpRule, ...], Meta(min_length=1, max_length=16)] = (HttpRule(),)


class HttpRoute(Shape, frozen=True, kw_only=True):
    metadata: Metadata
    spec: HttpSpec


class GrpcMethod(Shape, frozen=True, kw_only=True):
    type: MatchType = "Exact"
    service: Annotated[str, Meta(max_length=1024)] | None = None
    method: Annotated[str, Meta(max_length=1024)] | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        import re

        if not self.service and not self.method:
            yield self.line, "service and method: at least one of them must be given"
        for name, value in (("service", self.service), ("method", self.method)):
            if value and self.type == "RegularExpression":
                yield from regular_expression(self.line, value)
            elif value and not re.match(_IDENTIFIER, value):
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


class GrpcSpec(Shape, frozen=True, kw_only=True):
    parent_refs: ParentRefs = ()
    hostnames: Annotated[tuple[Hostname, ...], Meta(max_length=16)] = ()
    rules: Annotated[tuple[GrpcRule, ...], Meta(max_length=16)] = ()


class GrpcRoute(Shape, frozen=True, kw_only=True):
    metadata: Metadata
    spec: GrpcSpec


def regular_expression(line: int, text: str) -> Iterator[tuple[int, str]]:
    """Only that it compiles: dialects differ, and the one that counts is the one that will match."""
    import re

    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as wrong:
        yield line, f"value: {text[:80]!r} is not valid: a regular expression ({wrong})"


def gateway_seconds(text: str) -> float:
    """A GEP-2257 duration; 0 is allowed and means none. Raises Invalid."""
    from mesh.yaml.texts import seconds

    try:
        return seconds(text)
    except Invalid:
        if text.strip("0hms") == "":
            return 0.0
        raise
