"""Texts that a pattern describes: names, host names, ranges of statuses. A field's type says what a person is told."""

import re
from typing import Annotated

from msgspec import Meta

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_HTTP_NAME = r"[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+"
_LOCALITY = r"\*|[^/*]+/\*|[^/*]+/[^/*]+/\*|[^/*]+(/[^/*]+){0,2}"


def is_locality(text: str) -> bool:
    """REGION/ZONE/SUBZONE, whose end may be `*` or missing."""
    return re.fullmatch(_LOCALITY, text) is not None


def _text(pattern: str, longest: int, allowed: str, shortest: int = 1) -> Meta:
    """The whole text has to match the pattern."""
    return Meta(min_length=shortest, max_length=longest, pattern=rf"^(?:{pattern})\Z", extra={"allowed": allowed})


Name = Annotated[
    str, _text(_SUBDOMAIN, 253, "a name of lower-case letters, digits, '-' and '.', at most 253 characters")
]
Namespace = Annotated[
    str, _text(_LABEL, 63, "a namespace of lower-case letters, digits and '-', at most 63 characters")
]
LabelName = Annotated[str, _text(_LABEL, 63, "a name of lower-case letters, digits and '-', at most 63 characters")]
Hostname = Annotated[
    str, _text(rf"(\*\.)?{_SUBDOMAIN}", 253, "a host name in lower case, possibly beginning with '*.'")
]
PreciseHostname = Annotated[str, _text(_SUBDOMAIN, 253, "a host name in lower case, without a wildcard")]
Group = Annotated[
    str,
    _text(rf"|{_SUBDOMAIN}", 253, "an API group such as gateway.networking.k8s.io, or '' for the core group", 0),
]
KindName = Annotated[str, _text(r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?", 63, "a kind such as Service")]
PortName = Annotated[
    str, _text(rf"|{_LABEL}", 63, "a port name of lower-case letters, digits and '-', at most 63 characters", 0)
]
HeaderName = Annotated[str, _text(_HTTP_NAME, 256, "an HTTP header name")]
HeaderValue = Annotated[str, Meta(min_length=1, max_length=4096)]
HeaderLine = Annotated[
    str, _text(r"[^\x00-\x08\x0a-\x1f\x7f]+", 4096, "a header's value, at most 4096 characters, no line break or NUL")
]
FilterPath = Annotated[
    str, _text(r"[^\x00-\x1f\x7f]*", 1024, "a path, at most 1024 characters, no line break or NUL", 0)
]
CookiePath = Annotated[str, _text(r"[^\x00-\x1f\x7f;]*", 1024, "a cookie's path, without ';'", 0)]
CookieName = Annotated[str, _text(_HTTP_NAME, 256, "a cookie's name")]
SessionName = Annotated[str, _text(_HTTP_NAME, 128, "a name that a cookie or a header may have")]
CheckPath = Annotated[str, _text(r"/[!-~]*", 1024, "a path such as /healthz")]
Authority = Annotated[str, _text(r"[!-~]*", 253, "a value of the header Host", 0)]
StatusRange = Annotated[
    str, _text(r"[1-5][0-9]{2}(-[1-5][0-9]{2})?", 7, "a status such as 204, or a range such as 200-299")
]
LocalityPattern = Annotated[
    str,
    _text(
        _LOCALITY,
        512,
        "a locality REGION/ZONE/SUBZONE, whose end may be '*' or missing",
    ),
]
Timestamp = Annotated[
    str,
    _text(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z",
        30,
        "a UTC time such as 2026-01-31T12:00:00Z",
    ),
]
