"""Cookies of a request (RFC 6265, 5.4). The same in C is cext/engine/http/cookie.c."""

from proxy.core.route.match import Request

_SPACE = " \t"


def cookie(request: Request, name: str) -> str | None:
    """The value of the first cookie of that name, as it came. None: it did not come."""
    for header, line in request.lines:
        if header.lower() != "cookie":
            continue
        for part in line.split(";"):
            given, equals, value = part.lstrip(_SPACE).rstrip(_SPACE).partition("=")
            if equals and given == name:
                return value
    return None
