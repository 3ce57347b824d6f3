"""What HTTPRoute's CORS filter makes of a request: preflights are answered, other answers get headers."""

from proxy.core.policy.http import Cors
from proxy.core.route.filters import HeaderEdits
from proxy.core.route.match import Request

LONGEST_ORIGIN = 280
"""Bytes; a longer text names no origin. cext/engine/route/route.h has the same."""
ALL = "*"


def allowed_origin(cors: Cors, request: Request) -> str | None:
    """The request's origin, where it is allowed."""
    origin = request.first("origin")
    if not origin or len(origin.encode("utf-8", "surrogateescape")) > LONGEST_ORIGIN:
        return None
    return origin if any(_is(pattern, origin) for pattern in cors.allow_origins) else None


def is_preflight(request: Request) -> bool:
    return (
        request.method == "OPTIONS"
        and request.first("origin") is not None
        and request.first("access-control-request-method") is not None
    )


def preflight_headers(cors: Cors, origin: str | None, request: Request) -> HeaderEdits:
    """An origin that is not allowed is told nothing, which a browser takes as a no."""
    if origin is None:
        return HeaderEdits()
    common = _common(cors, origin)
    asked = request.first("access-control-request-method"), request.first("access-control-request-headers")
    lists = [
        ("access-control-allow-methods", _listed(cors, cors.allow_methods, asked[0])),
        ("access-control-allow-headers", _listed(cors, cors.allow_headers, asked[1])),
        ("access-control-max-age", str(cors.max_age_s)),
    ]
    return HeaderEdits(set=common.set + tuple((name, value) for name, value in lists if value), add=common.add)


def answer_headers(cors: Cors, origin: str) -> HeaderEdits:
    common = _common(cors, origin)
    if not cors.expose_headers:
        return common
    exposed = ("access-control-expose-headers", ", ".join(cors.expose_headers))
    return HeaderEdits(set=(*common.set, exposed), add=common.add)


def _common(cors: Cors, origin: str) -> HeaderEdits:
    """An answer that names one origin is not for others, which caches have to know."""
    for_all = ALL in cors.allow_origins and not cors.allow_credentials
    allowed = [("access-control-allow-origin", ALL if for_all else origin)]
    if cors.allow_credentials:
        allowed.append(("access-control-allow-credentials", "true"))
    return HeaderEdits(set=tuple(allowed), add=() if for_all else (("vary", "Origin"),))


def _listed(cors: Cors, values: tuple[str, ...], asked: str | None) -> str:
    """`*` is no wildcard for a browser that sends credentials: it gets what it asks for."""
    if values == (ALL,) and cors.allow_credentials:
        return asked or ""
    return ", ".join(values)


def _is(pattern: str, origin: str) -> bool:
    """A star within a pattern stands for any labels of a host, at least one character."""
    before, star, after = pattern.partition(ALL)
    if pattern == ALL or not star:
        return pattern in (ALL, origin)
    if len(origin) <= len(before) + len(after) or not (origin.startswith(before) and origin.endswith(after)):
        return False
    return not {"/", ":"} & set(origin[len(before) : len(origin) - len(after)])
