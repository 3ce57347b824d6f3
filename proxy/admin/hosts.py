"""Whom the admin endpoint believes to be local: a web page that rebinds its own name to 127.0.0.1 makes a browser send
requests to us, but can't make it name another host in the Host header."""

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


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isascii() and text[1:].isdigit()
