"""Recovering the original destination of an accepted connection. Everything that knows how stands in this file.

REDIRECT and our eBPF capture answer getsockopt(SO_ORIGINAL_DST). TPROXY and sk_lookup leave the destination alone, so
that the accepted socket's own local address is the original destination; but only when its port is not the listener's:
at the listener's own port, getsockname() says nothing more than that somebody dialled the proxy itself. So a
connection whose destination the kernel does not tell has none, and is refused; there is no guess.
"""

import socket
import struct

from proxy.core.addresses import Address, ListenAddress, OriginalDestination
from proxy.settings import InboundOriginalDst

SO_ORIGINAL_DST = 80
"""include/uapi/linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST has the same number at level SOL_IPV6."""
_SOL_IPV6 = 41
_SOCKADDR_IN = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6 = struct.Struct("!2xH4x16s")
_SCOPE_ID = struct.Struct("=I")


def recover(
    sock: socket.socket, local: ListenAddress, listener_port: int, method: InboundOriginalDst
) -> OriginalDestination | None:
    """The original destination of an accepted socket, or None when the kernel does not know one.

    local is the socket's own address with IPv4-mapped addresses already plain: a v4 connection on a dual-stack socket
    is asked at the IPv4 level, where netfilter keeps it. Never raises.
    """
    if method is not InboundOriginalDst.SOCKNAME:
        found = _from_socket_option(sock, ipv6=local.is_ipv6)
        if found is not None or method is InboundOriginalDst.SOCKOPT:
            return found
    return OriginalDestination(local) if local.port != listener_port else None


def _from_socket_option(sock: socket.socket, *, ipv6: bool) -> OriginalDestination | None:
    try:
        if ipv6:
            raw = sock.getsockopt(_SOL_IPV6, SO_ORIGINAL_DST, 28)
        else:
            raw = sock.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    except OSError:
        return None  # ENOENT: no such connection in conntrack; ENOPROTOOPT: no conntrack at all
    return decode(raw)


def decode(raw: bytes) -> OriginalDestination | None:
    """The address in a struct sockaddr_in or sockaddr_in6; None when it is neither, or has no port."""
    family = int.from_bytes(raw[:2], "little" if struct.pack("=H", 1) == b"\x01\x00" else "big")
    if family == socket.AF_INET and len(raw) >= 16:
        port, packed = _SOCKADDR_IN.unpack(raw[:16])
        address = Address(socket.inet_ntop(socket.AF_INET, packed), port)
    elif family == socket.AF_INET6 and len(raw) >= 28:
        port, packed = _SOCKADDR_IN6.unpack(raw[:24])
        scope = _SCOPE_ID.unpack(raw[24:28])[0]
        text = socket.inet_ntop(socket.AF_INET6, packed)
        mapped = text.startswith("::ffff:") and "." in text
        address = Address(text[7:], port) if mapped else Address(text, port, scope)
    else:
        return None
    return OriginalDestination(address) if port else None
