"""What the admin endpoint takes for a local client. A web page can make a browser send requests to us, under its own
name rebound to 127.0.0.1 too, but it can't choose the Host and Origin headers that the browser sends."""

from collections.abc import Mapping
from ipaddress import ip_address


def is_loopback_host(header: str) -> bool:
    """Whether a Host header names this machine by a loopback address or as localhost, with or without a port."""
    host = header.strip()
    if host.startswith("["):
        host, closed, port = host[1:].partition("]")
        if not closed or (port and not _is_port(port)):
            return False
    else:
        host, colon, port = host.partition(":")
        if colon and not _is_port(":" + port):
            return False
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_same_origin(host: str, headers: Mapping[str, str]) -> bool:
    """Whether a request comes from no page at all, or from one that this endpoint itself has served."""
    origin = headers.get("origin")
    site = headers.get("sec-fetch-site", "none")
    own = origin is None or origin.strip().lower() == f"http://{host.strip().lower()}"
    return own and site.strip().lower() in ("none", "same-origin")


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isascii() and text[1:].isdigit()
