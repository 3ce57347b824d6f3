"""Who may ask the page's process for what. A web page elsewhere can make a browser send requests to loopback, under its
own name rebound to 127.0.0.1 too, but it can't choose the Host and Origin headers."""

import hmac
from collections.abc import Mapping
from ipaddress import ip_address
from typing import NamedTuple

from proxy.admin.hosts import is_loopback_host, is_same_origin

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""On each answer. Nothing that an answer contains is run or fetched from elsewhere."""
HEADER = "x-tidegate-token"


class Place(NamedTuple):
    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


def place(text: str) -> Place:
    """Raises ValueError, which says what is allowed, for anything but a loopback address with a port."""
    host, colon, port = text.rpartition(":")
    try:
        ip = ip_address(host.strip("[]"))
    except ValueError:
        raise ValueError("IP:PORT or [IPV6]:PORT") from None
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("IP:PORT or [IPV6]:PORT, with a port up to 65535")
    if not ip.is_loopback:
        raise ValueError("a loopback address: the page shows what users ask for, to all who reach it")
    return Place(str(ip), int(port))


def objection(method: str, headers: Mapping[str, str], token: str | None) -> str:
    """Why a request is refused; empty: it is not. headers: names in lower case. token: what changes need; None: the
    page only shows."""
    host = headers.get("host", "")
    if not is_loopback_host(host):
        return "this page answers to loopback names only"
    if not is_same_origin(host, headers):
        return "this page does not answer pages of other origins"
    if method in ("GET", "HEAD"):
        return ""
    if token is None:
        return "the page only shows: `tidegate dashboard --write` lets it change something"
    if "origin" not in headers:
        return "a change must come from the page itself, with its Origin"
    if not headers.get("content-type", "").startswith("application/json"):
        return "a change is sent as application/json"
    given = headers.get(HEADER, "").encode("utf-8", "surrogateescape")
    return "" if hmac.compare_digest(given, token.encode()) else "the token is not the one that the terminal shows"
