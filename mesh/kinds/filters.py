"""Filters of HTTPRoute and GRPCRoute."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, field

from mesh.kinds.meta import BackendObjectRef
from mesh.yaml.names import FilterPath, Group, HeaderLine, HeaderName, KindName, Name, PreciseHostname
from mesh.yaml.shapes import Shape
from mesh.yaml.texts import Port


class Header(Shape, frozen=True, kw_only=True):
    name: HeaderName
    value: HeaderLine


class HeaderModifier(Shape, frozen=True, kw_only=True):
    set: Annotated[tuple[Header, ...], Meta(max_length=16)] = ()
    add: Annotated[tuple[Header, ...], Meta(max_length=16)] = ()
    remove: Annotated[tuple[HeaderName, ...], Meta(max_length=16)] = ()


class Fraction(Shape, frozen=True, kw_only=True):
    numerator: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    denominator: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 100

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.numerator > self.denominator:
            yield self.line, f"numerator: {self.numerator} is not valid: at most the denominator, {self.denominator}"


class RequestMirror(Shape, frozen=True, kw_only=True):
    backend_ref: BackendObjectRef
    percent: Annotated[int, Meta(ge=0, le=100)] | None = None
    fraction: Fraction | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.percent is not None and self.fraction is not None:
            yield self.line, "percent and fraction: only one of them may be given"


class PathModifier(Shape, frozen=True, kw_only=True):
    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    replace_full_path: FilterPath | None = None
    replace_prefix_match: FilterPath | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        given = {"ReplaceFullPath": self.replace_full_path, "ReplacePrefixMatch": self.replace_prefix_match}
        for kind, value in given.items():
            name = kind[0].lower() + kind[1:]
            if (value is not None) != (kind == self.type):
                yield self.line, f"{name}: {'is missing' if value is None else 'is not allowed'} with type {self.type}"


class RequestRedirect(Shape, frozen=True, kw_only=True):
    scheme: Literal["http", "https"] | None = None
    hostname: PreciseHostname | None = None
    path: PathModifier | None = None
    port: Port | None = None
    status_code: Annotated[int, Meta(ge=301, le=308)] = 302

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.status_code not in (301, 302, 303, 307, 308):
            yield self.line, f"statusCode: {self.status_code} is not valid: one of 301, 302, 303, 307, 308"


class UrlRewrite(Shape, frozen=True, kw_only=True):
    hostname: PreciseHostname | None = None
    path: PathModifier | None = None


Origin = Annotated[str, Meta(min_length=1, max_length=253)]
_ORIGIN = re.compile(r"\*|[A-Za-z][A-Za-z0-9+.-]*://(\*|(\*\.)?[A-Za-z0-9.\[\]:_-]+)(:([0-9]{1,5}|\*))?")
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*")


class Cors(Shape, frozen=True, kw_only=True):
    allow_origins: Annotated[tuple[Origin, ...], Meta(max_length=64)] = ()
    allow_credentials: bool = False
    allow_methods: Annotated[tuple[str, ...], Meta(max_length=9)] = ()
    allow_headers: Annotated[tuple[HeaderName, ...], Meta(max_length=64)] = ()
    expose_headers: Annotated[tuple[HeaderName, ...], Meta(max_length=64)] = ()
    max_age: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 5

    def mistakes(self) -> Iterator[tuple[int, str]]:
        for origin in self.allow_origins:
            if not _ORIGIN.fullmatch(origin):
                yield (
                    self.line,
                    f"allowOrigins: {origin!r} is not valid: '*', or an origin such as https://*.example.com",
                )
        for method in self.allow_methods:
            if method not in _METHODS:
                yield self.line, f"allowMethods: {method!r} is not valid: one of {', '.join(_METHODS)}"
        lists = (("allowOrigins", self.allow_origins), ("allowMethods", self.allow_methods))
        for name, values in (*lists, ("allowHeaders", self.allow_headers)):
            if "*" in values and len(values) > 1:
                yield self.line, f"{name}: '*' is not valid beside other values"


class ForwardBody(Shape, frozen=True, kw_only=True):
    max_size: Annotated[int, Meta(ge=0, le=65535)] = 0


class GrpcAuth(Shape, frozen=True, kw_only=True):
    allowed_headers: Annotated[tuple[str, ...], Meta(max_length=64)] = ()


class HttpAuth(GrpcAuth, frozen=True, kw_only=True):
    path: FilterPath = ""
    allowed_response_headers: Annotated[tuple[str, ...], Meta(max_length=64)] = ()


class ExternalAuth(Shape, frozen=True, kw_only=True):
    """Of the experimental channel."""

    protocol: Literal["HTTP", "GRPC"]
    backend_ref: BackendObjectRef
    grpc: GrpcAuth | None = None
    http: HttpAuth | None = None
    forward_body: ForwardBody | None = None


class ExtensionRef(Shape, frozen=True, kw_only=True):
    group: Group
    kind: KindName
    name: Name


_MODIFIERS = {
    "RequestHeaderModifier": "request_header_modifier",
    "ResponseHeaderModifier": "response_header_modifier",
    "RequestMirror": "request_mirror",
    "RequestRedirect": "request_redirect",
    "URLRewrite": "url_rewrite",
    "CORS": "cors",
    "ExternalAuth": "external_auth",
    "ExtensionRef": "extension_ref",
}


class GrpcFilter(Shape, frozen=True, kw_only=True):
    type: Literal["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"]
    request_header_modifier: HeaderModifier | None = None
    response_header_modifier: HeaderModifier | None = None
    request_mirror: RequestMirror | None = None
    extension_ref: ExtensionRef | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        yield from _one_of_its_type(self, self.type)


class HttpFilter(Shape, frozen=True, kw_only=True):
    type: Literal[
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestMirror",
        "RequestRedirect",
        "URLRewrite",
        "CORS",
        "ExternalAuth",
        "ExtensionRef",
    ]
    request_header_modifier: HeaderModifier | None = None
    response_header_modifier: HeaderModifier | None = None
    request_mirror: RequestMirror | None = None
    request_redirect: RequestRedirect | None = None
    url_rewrite: UrlRewrite | None = field(name="urlRewrite", default=None)
    cors: Cors | None = None
    external_auth: ExternalAuth | None = None
    extension_ref: ExtensionRef | None = None

    @property
    def replaces_prefix(self) -> bool:
        return any(
            one is not None and one.path is not None and one.path.type == "ReplacePrefixMatch"
            for one in (self.request_redirect, self.url_rewrite)
        )

    def mistakes(self) -> Iterator[tuple[int, str]]:
        yield from _one_of_its_type(self, self.type)


def _one_of_its_type(one: GrpcFilter | HttpFilter, kind: str) -> Iterator[tuple[int, str]]:
    for name, attribute in _MODIFIERS.items():
        given = getattr(one, attribute, None) is not None
        if given != (name == kind):
            field_name = {"URLRewrite": "urlRewrite", "CORS": "cors"}.get(name, name[0].lower() + name[1:])
            yield one.line, f"{field_name}: {'is not allowed' if given else 'is missing'} with type {kind}"


def repeated(filters: tuple[HttpFilter, ...]) -> Iterator[tuple[int, str]]:
    """A filter that Gateway API allows once, and that is there twice."""
    seen: set[str] = set()
    for one in filters:
        if one.type in seen and one.type not in ("RequestMirror", "ExtensionRef"):
            yield one.line, f"filters: a second {one.type} is not valid: only one may be given"
        seen.add(one.type)
