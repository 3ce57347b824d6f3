"""Making the listening sockets: one for IPv4 and one for IPv6 a direction, both at the same port."""

import errno
import os
import socket
from dataclasses import dataclass

from proxy.core.addresses import Address, to_sockaddr
from proxy.errors import AddressInUse, PrivilegeMissing, ProxyError
from proxy.start.sockets import keep_alive

BACKLOG = 4096
"""The kernel cuts it down to net.core.somaxconn. While accepting pauses, new connections wait here."""
_FREE_PORT_TRIES = 32
_IP_TRANSPARENT = 19
_IPV6_TRANSPARENT = 75
_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}


@dataclass(frozen=True, slots=True)
class BoundListener:
    """Listening sockets of one direction; the owner closes them. ipv6_missing says why there is none, or is empty."""

    port: int
    sockets: tuple[socket.socket, ...]
    transparent: bool
    ipv6_missing: str
    only_at: tuple[str, ...] = ()
    """The addresses, where they are not all of the namespace's."""

    @property
    def addresses(self) -> tuple[str, ...]:
        if self.only_at:
            return self.only_at
        return ("0.0.0.0",) if self.ipv6_missing else ("0.0.0.0", "::")


def bind_listener(flag: str, port: int, *, keepalive_s: int, transparent: bool) -> BoundListener:
    """Listens on 0.0.0.0 and [::] at port (0: a free one, the same for both). flag is named in errors.

    transparent asks for IP_TRANSPARENT, without which TPROXY does not deliver; the privilege for it may be missing,
    and the result says so. Raises AddressInUse, PrivilegeMissing or ProxyError, having closed what it opened.
    """
    for _ in range(_FREE_PORT_TRIES):
        first = _listen(flag, Address("0.0.0.0", port), keepalive_s)
        chosen = int(first.getsockname()[1])
        try:
            second = _listen(flag, Address("::", chosen), keepalive_s)
        except AddressInUse:
            first.close()
            if port == 0:
                continue  # somebody has this port in IPv6 only: take another
            raise
        except ProxyError as failed:
            if not (isinstance(failed.__cause__, OSError) and failed.__cause__.errno in _NO_IPV6):
                first.close()
                raise
            why = failed.__cause__.strerror or str(failed)
            return BoundListener(chosen, (first,), transparent and _make_transparent((first,)), why)
        both = (first, second)
        return BoundListener(chosen, both, transparent and _make_transparent(both), "")
    raise ProxyError(f"{flag}: found no port that is free in IPv4 and IPv6 in {_FREE_PORT_TRIES} tries")


def bind_explicit(flag: str, port: int, ips: tuple[str, ...], *, keepalive_s: int) -> BoundListener:
    """Listens at port (0: a free one, the same for all) of each of the addresses; ::1 may be missing where 127.0.0.1
    is among them. Raises as `bind_listener` does."""
    for _ in range(_FREE_PORT_TRIES):
        sockets: list[socket.socket] = []
        chosen, missing = port, ""
        try:
            for ip in ips:
                try:
                    sockets.append(_listen(flag, Address(ip, chosen), keepalive_s))
                except ProxyError as failed:
                    cause = failed.__cause__
                    if ip != "::1" or not sockets or not (isinstance(cause, OSError) and cause.errno in _NO_IPV6):
                        raise
                    missing = cause.strerror or str(failed)
                    continue
                chosen = int(sockets[-1].getsockname()[1])
        except ProxyError as failed:
            for sock in sockets:
                sock.close()
            if port == 0 and sockets and isinstance(failed, AddressInUse):
                continue
            raise
        at = tuple(str(sock.getsockname()[0]) for sock in sockets)
        return BoundListener(chosen, tuple(sockets), transparent=False, ipv6_missing=missing, only_at=at)
    raise ProxyError(f"{flag}: found no port that is free at {', '.join(ips)} in {_FREE_PORT_TRIES} tries")


def inherited_listener(sockets: tuple[socket.socket, ...]) -> BoundListener:
    """Of sockets that another proxy has bound, IPv4 first. Whether they are transparent is left as it is: connections
    arrive there at this moment, and the companion suits it to the capture."""
    port = int(sockets[0].getsockname()[1])
    missing = "" if len(sockets) > 1 else "the proxy before had none"
    return BoundListener(port, sockets, all(is_transparent(one.fileno()) for one in sockets), missing)


def bind_service(flag: str, address: Address) -> socket.socket:
    """A listening socket of an HTTP endpoint. Raises as `bind_listener` does."""
    return _listen(flag, address, keepalive_s=0)


def _listen(flag: str, address: Address, keepalive_s: int) -> socket.socket:
    sock: socket.socket | None = None
    try:
        family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if keepalive_s:
            keep_alive(sock, keepalive_s)  # accepted sockets inherit it, which spares them four system calls
        sock.bind(to_sockaddr(address))
        sock.listen(BACKLOG)
    except OSError as failed:
        if sock is not None:
            sock.close()
        if failed.errno == errno.EADDRINUSE:
            raise AddressInUse(flag, str(address)) from failed
        if failed.errno == errno.EACCES:
            raise PrivilegeMissing("CAP_NET_BIND_SERVICE", f"listen on {address} ({flag})") from failed
        raise ProxyError(f"{flag}: can't listen on {address}: {failed.strerror}") from failed
    return sock


def _make_transparent(sockets: tuple[socket.socket, ...]) -> bool:
    try:
        for sock in sockets:
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
            else:
                sock.setsockopt(socket.SOL_IP, _IP_TRANSPARENT, 1)
    except PermissionError:
        return False
    return True


def is_transparent(fd: int) -> bool:
    """Whether a TCP socket has IP_TRANSPARENT. The descriptor stays its owner's."""
    sock = socket.socket(fileno=os.dup(fd))
    with sock:
        if sock.family == socket.AF_INET6:
            return bool(sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT))
        return bool(sock.getsockopt(socket.SOL_IP, _IP_TRANSPARENT))
