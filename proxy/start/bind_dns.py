"""The DNS listener's UDP sockets."""

import errno
import os
import socket

from proxy.errors import AddressInUse, ProxyError

_IPV6_RECVPKTINFO = 49
_IP_PKTINFO = 8


def bind_dns(flag: str, port: int) -> list[socket.socket]:
    """UDP sockets on `port`, IPv4 and (where there is IPv6) IPv6. Raises AddressInUse or ProxyError."""
    made: list[socket.socket] = []
    try:
        for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            if family == socket.AF_INET6 and not _has_ipv6():
                continue
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            made.append(sock)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            sock.bind((host, port))
    except OSError as failed:
        for sock in made:
            sock.close()
        if failed.errno == errno.EADDRINUSE:
            raise AddressInUse(flag, f"UDP port {port}") from failed
        raise ProxyError(f"{flag}: can't serve DNS on UDP port {port}: {failed.strerror}") from failed
    return made


def _has_ipv6() -> bool:
    return os.path.exists("/proc/self/net/if_inet6")
