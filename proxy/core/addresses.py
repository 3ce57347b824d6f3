"""Addresses by the part they play, so that the client's, the listener's, the original destination and the upstream's
cannot be confused: at run time each is one small tuple, for the type checker each is a type of its own."""

from ipaddress import IPv6Address, ip_address
from typing import NamedTuple, NewType

_MAPPED_PREFIX = "::ffff:"


class Address(NamedTuple):
    """An IP address in canonical text and a TCP port; scope is the interface index of a link-local address, else 0.

    An IPv4-mapped IPv6 address never stands here: it is plain IPv4 (`from_sockaddr` and `parse` see to it).
    """

    ip: str
    port: int
    scope: int = 0

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.ip

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


ClientAddress = NewType("ClientAddress", Address)
"""Who dialled: the peer of an accepted (downstream) connection."""
ListenAddress = NewType("ListenAddress", Address)
"""Where an accepted connection arrived: the local address of the downstream socket."""
OriginalDestination = NewType("OriginalDestination", Address)
"""Where the client wanted to go before capture steered it to a listener."""
UpstreamAddress = NewType("UpstreamAddress", Address)
"""Where the proxy connects to."""
UpstreamSource = NewType("UpstreamSource", Address)
"""The local address of one of our own upstream sockets."""

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""What Python's socket module takes and gives for AF_INET and AF_INET6."""


def from_sockaddr(sockaddr: SocketAddress) -> Address:
    """The address in a socket-module tuple whose text came from the kernel; IPv4-mapped becomes plain IPv4."""
    ip = sockaddr[0]
    if ":" not in ip:
        return Address(ip, sockaddr[1])
    if ip.startswith(_MAPPED_PREFIX) and "." in ip:
        return Address(ip[len(_MAPPED_PREFIX) :], sockaddr[1])
    scope = sockaddr[3] if len(sockaddr) == 4 else 0
    return Address(ip.partition("%")[0], sockaddr[1], scope)


def to_sockaddr(address: Address) -> SocketAddress:
    """The tuple that `connect` and `bind` of a socket of the address's family take."""
    return (address.ip, address.port, 0, address.scope) if ":" in address.ip else (address.ip, address.port)


def parse(text: str) -> Address:
    """`IP:PORT` or `[IPV6]:PORT` as people write it. Raises ValueError saying what is wrong; looks no name up."""
    host, colon, port_text = text.strip().rpartition(":")
    if not colon:
        raise ValueError("expected IP:PORT or [IPV6]:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise ValueError("brackets are for IPv6 addresses only")
    elif ":" in host:
        raise ValueError("an IPv6 address stands in brackets: [::1]:80")
    if not (port_text.isascii() and port_text.isdigit()) or int(port_text) > 65535:
        raise ValueError(f"port {port_text!r} is not a number between 0 and 65535")
    if "%" in host:
        raise ValueError("zones are not accepted")
    try:
        ip = ip_address(host)
    except ValueError:
        raise ValueError(f"{host!r} is not an IP address") from None
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return Address(str(ip), int(port_text))


def is_loopback(ip: str) -> bool:
    """Whether only programs on this machine can reach the address. ip is canonical text."""
    return ip_address(ip).is_loopback
