"""Matches of HTTPRoute and GRPCRoute -> `proxy.core.route.match`."""

import re
from collections.abc import Callable, Iterable

from mesh.kinds.grpc import GrpcMatch, GrpcMethod
from mesh.kinds.http import HttpMatch, PathMatch, ValueMatch
from proxy.core.route.match import ANY_PATH, Kind, Match, Path, Text
from proxy.core.route.target import normal_path

_KINDS = {"Exact": Kind.EXACT, "PathPrefix": Kind.PREFIX, "RegularExpression": Kind.REGEX}
_SEGMENT = "[^/]+"


def of_http(spec: HttpMatch) -> Match:
    return Match(
        path=_path(spec.path),
        headers=_headers(spec.headers),
        parameters=_texts(spec.query_params, lambda name: name),
        method=spec.method,
    )


def of_grpc(spec: GrpcMatch) -> Match:
    """A call of a method is a POST to /SERVICE/METHOD."""
    return Match(path=_call(spec.method), headers=_headers(spec.headers), method="POST")


def _path(spec: PathMatch) -> Path:
    kind = _KINDS[spec.type]
    return Path(kind, spec.value if kind is Kind.REGEX else normal_path(spec.value))


def _call(spec: GrpcMethod | None) -> Path:
    if spec is None:
        return ANY_PATH
    if spec.type == "RegularExpression":
        service, method = (f"(?:{one})" if one else _SEGMENT for one in (spec.service, spec.method))
        return Path(Kind.REGEX, f"/{service}/{method}")
    if spec.service and spec.method:
        return Path(Kind.EXACT, f"/{spec.service}/{spec.method}")
    if spec.service:
        return Path(Kind.PREFIX, f"/{spec.service}")
    return Path(Kind.REGEX, f"/{_SEGMENT}/{re.escape(spec.method or '')}")


def _headers(specs: Iterable[ValueMatch]) -> tuple[Text, ...]:
    return _texts(specs, str.lower)


def _texts(specs: Iterable[ValueMatch], named: Callable[[str], str]) -> tuple[Text, ...]:
    """Of several for one name the first counts, as Gateway API has it."""
    found: dict[str, Text] = {}
    for one in specs:
        name = named(one.name)
        found.setdefault(name, Text(name, one.value, _KINDS[one.type]))
    return tuple(found.values())
