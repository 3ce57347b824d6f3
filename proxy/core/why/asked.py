"""The question: which connection, with which request. Also as it stands in a query."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from proxy.core.addresses import Address, OriginalDestination, parse
from proxy.core.lanes import Direction
from proxy.core.route.match import Request

KEYS = ("dst", "direction", "src", "method", "path", "header")
MOST_HEADERS = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """source: the client's IP; empty: any client that no rule is about. request: None: of the connection alone."""

    destination: OriginalDestination
    direction: Direction = Direction.OUTBOUND
    source: str = ""
    request: Request | None = None


def asked(given: Sequence[tuple[str, str]]) -> Asked:
    """From the parameters of a query. Raises ValueError, naming the key, the value and what is allowed."""
    found: dict[str, str] = {}
    headers: list[tuple[str, str]] = []
    for key, value in given:
        if key not in KEYS:
            raise ValueError(f"{key!r} is no part of the question; there are: {', '.join(KEYS)}")
        if key == "header":
            headers.append(_header(value))
        elif key in found:
            raise ValueError(f"{key} is given twice")
        else:
            found[key] = value
    if "dst" not in found:
        raise ValueError("dst is missing: expected dst=IP:PORT, with an IPv6 address in brackets")
    if len(headers) > MOST_HEADERS:
        raise ValueError(f"at most {MOST_HEADERS} headers are looked at")
    return Asked(
        OriginalDestination(_destination(found["dst"])),
        _direction(found.get("direction", "")),
        _source(found.get("src", "")),
        _request(found, headers),
    )


def _destination(text: str) -> Address:
    try:
        return parse(text)
    except ValueError as wrong:
        raise ValueError(f"dst {text!r}: {wrong}") from None


def _direction(text: str) -> Direction:
    try:
        return Direction(text or "outbound")
    except ValueError:
        raise ValueError(f"direction {text!r}: expected outbound or inbound") from None


def _source(text: str) -> str:
    try:
        return str(ip_address(text.strip("[]"))) if text else ""
    except ValueError:
        raise ValueError(f"src {text!r}: expected an IP address") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"header {text!r}: expected NAME:VALUE")
    return name.strip(), value.strip()


def _request(found: dict[str, str], headers: list[tuple[str, str]]) -> Request | None:
    method, path = found.get("method", ""), found.get("path", "")
    if not (method or path or headers):
        return None
    if path and not (path.startswith("/") or "://" in path or path == "*"):
        raise ValueError(f"path {path!r}: expected a path that begins with / or an absolute URL")
    return Request(method or "GET", path or "/", headers)
