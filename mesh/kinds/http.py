"""HTTPRoute, whole and as published: what an API server would refuse is refused here too."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from mesh.kinds.filters import HttpFilter, repeated
from mesh.kinds.meta import BackendRef, Published
from mesh.kinds.patterns import regular_expression
from mesh.kinds.routes import RouteSpec
from mesh.kinds.sessions import SessionPersistence
from mesh.yaml.names import HeaderName, HeaderValue, Hostname, Name
from mesh.yaml.shapes import Shape
from mesh.yaml.texts import GatewayDuration, gateway_seconds

MatchType = Literal["Exact", "RegularExpression"]
HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
_PATH = re.compile(r"/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*")
_FORBIDDEN = re.compile(r"//|/\.\.?(/|\Z)|%2[fF]")


class PathMatch(Shape, frozen=True, kw_only=True):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: Annotated[str, Meta(max_length=1024)] = "/"

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.type == "RegularExpression":
            yield from regular_expression(self.line, "value", self.value)
        elif not _PATH.fullmatch(self.value) or _FORBIDDEN.search(self.value):
            allowed = "an absolute path of valid characters without //, /./, /../ and %2f"
            yield self.line, f"value: {self.value!r} is not valid: {allowed}"


class ValueMatch(Shape, frozen=True, kw_only=True):
    type: MatchType = "Exact"
    name: HeaderName
    value: HeaderValue

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.type == "RegularExpression":
            yield from regular_expression(self.line, "value", self.value)


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


class HttpBackendRef(BackendRef, frozen=True, kw_only=True):
    filters: Annotated[tuple[HttpFilter, ...], Meta(max_length=16)] = ()

    def mistakes(self) -> Iterator[tuple[int, str]]:
        yield from super().mistakes()
        yield from repeated(self.filters)


class HttpRule(Shape, frozen=True, kw_only=True):
    name: Name | None = None
    matches: Annotated[tuple[HttpMatch, ...], Meta(max_length=64)] = (HttpMatch(),)
    filters: Annotated[tuple[HttpFilter, ...], Meta(max_length=16)] = ()
    backend_refs: Annotated[tuple[HttpBackendRef, ...], Meta(max_length=16)] = ()
    timeouts: Timeouts | None = None
    retry: Retry | None = None
    session_persistence: SessionPersistence | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        yield from repeated(self.filters)
        redirects = [one for one in self.filters if one.type == "RequestRedirect"]
        if redirects and self.backend_refs:
            yield redirects[0].line, "filters: a RequestRedirect and backendRefs exclude each other"
        if redirects and any(one.type == "URLRewrite" for one in self.filters):
            yield redirects[0].line, "filters: RequestRedirect and URLRewrite exclude each other"
        matches = self.matches or (HttpMatch(),)
        prefixed = len(matches) == 1 and matches[0].path.type == "PathPrefix"
        of_backends = (one for ref in self.backend_refs for one in ref.filters)
        for one in (*self.filters, *of_backends):
            if one.replaces_prefix and not prefixed:
                yield (
                    one.line,
                    "filters: ReplacePrefixMatch is not valid: the rule needs exactly one match, of type PathPrefix",
                )


class HttpSpec(RouteSpec, frozen=True, kw_only=True):
    hostnames: Annotated[tuple[Hostname, ...], Meta(max_length=16)] = ()
    rules: Annotated[tuple[HttpRule, ...], Meta(min_length=1, max_length=16)] = (HttpRule(),)


class HttpRoute(Published, frozen=True, kw_only=True):
    spec: HttpSpec
