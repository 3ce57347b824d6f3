"""Which sockets listen in this network namespace, asked of the kernel's socket diagnosis.

Only listening sockets are walked, so the answer costs the same however many connections there are.
"""

import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from intercept.errors import Unsupported
from intercept.intent.intent import Listeners
from intercept.intent.listeners import LISTENERS, Sign

Ports = dict[int, frozenset[int]]

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_DUMP = 0x301  # request, root, match
_LISTENING = 1 << 10
_UNCONNECTED = 1 << 7
_DONE, _ERROR = 3, 2
_HEADER = struct.Struct("=IHHII")
_DIAG = struct.Struct("=BBBB")
_ENDS = struct.Struct("!HH")
_INODE = struct.Struct("=I")
_INODE_AT = 68
_MESSAGE_SIZE = 72
_ATTRIBUTE = struct.Struct("=HH")
_SKV6ONLY = 11
_MARK = 15
_SOCKET_OPTIONS = 22
_IS_TRANSPARENT = 0x20 if sys.byteorder == "little" else 0x04  # a bit field
_RECEIVE = 1 << 16


class Listening(NamedTuple):
    """One socket on which something can be received.

    versions: the IP versions that it serves; a dual-stack socket serves both. address: None for every address.
    inode: as /proc/PID/fd names the socket. transparent: it has IP_TRANSPARENT; None where the kernel (before 5.9)
    does not tell. mark: told to CAP_NET_ADMIN only; else 0.
    """

    port: int
    versions: tuple[int, ...]
    address: IPv4Address | IPv6Address | None
    inode: int
    transparent: bool | None
    mark: int = 0


def signs(listeners: Listeners, tcp: Ports, udp: Ports) -> list[Sign]:
    """Which listeners are up, of any process. Pure. DNS counts by UDP: not every proxy answers it over TCP too."""
    return [
        Sign(name, family)
        for name in LISTENERS
        for family in (4, 6)
        if getattr(listeners, name) in (udp if name == "dns" else tcp)[family]
    ]


def signs_here(listeners: Listeners) -> list[Sign]:
    """Needs no privilege. Raises Unsupported where the kernel can't tell."""
    return signs(listeners, taken(socket.IPPROTO_TCP), taken(socket.IPPROTO_UDP))


def taken(protocol: int) -> Ports:
    """IP version -> ports on which something can be received for it. Raises Unsupported."""
    return ports_of(listening(protocol))


def ports_of(sockets: Iterable[Listening]) -> Ports:
    """Pure."""
    found: dict[int, set[int]] = {4: set(), 6: set()}
    for one in sockets:
        for version in one.versions:
            found[version].add(one.port)
    return {version: frozenset(ports) for version, ports in found.items()}


def listening(protocol: int) -> list[Listening]:
    """Needs no privilege. Raises Unsupported where the kernel can't tell."""
    return [*dump(protocol, socket.AF_INET), *dump(protocol, socket.AF_INET6)]


def dump(protocol: int, family: int) -> list[Listening]:
    """As `listening`, of one address family."""
    states = _LISTENING if protocol == socket.IPPROTO_TCP else _UNCONNECTED
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as diag:
        body = struct.pack("=BBBBI", family, protocol, 0, 0, states) + bytes(48)
        diag.send(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _DUMP, 1, 0) + body)
        return [read(message) for message in answers(diag)]


def read(message: bytes) -> Listening:
    """One `inet_diag_msg` with its attributes. Pure."""
    family = _DIAG.unpack_from(message)[0]
    port, _ = _ENDS.unpack_from(message, _DIAG.size)
    (inode,) = _INODE.unpack_from(message, _INODE_AT)
    told = dict(attributes(message[_MESSAGE_SIZE:]))
    options = told.get(_SOCKET_OPTIONS)
    transparent = None if not options else bool(options[0] & _IS_TRANSPARENT)
    mark = int.from_bytes(told.get(_MARK, b""), sys.byteorder)
    if family == socket.AF_INET:
        raw = message[8:12]
        return Listening(port, (4,), IPv4Address(raw) if any(raw) else None, inode, transparent, mark)
    raw = message[8:24]
    both = not any(raw) and told.get(_SKV6ONLY, b"\1") == b"\0"
    return Listening(port, (4, 6) if both else (6,), IPv6Address(raw) if any(raw) else None, inode, transparent, mark)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, content) of what follows an `inet_diag_msg`. Pure."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def answers(diag: socket.socket) -> Iterator[bytes]:
    """The bodies of a dump's messages. Raises Unsupported."""
    while True:
        data = diag.recv(_RECEIVE)
        at = 0
        while at < len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            body = data[at + _HEADER.size : at + length]
            if kind == _ERROR:
                code = -struct.unpack_from("=i", body)[0]
                raise Unsupported(
                    f"this kernel can't tell who listens: sock_diag, error {code} (modules tcp_diag, udp_diag)"
                )
            yield body
            at += (length + 3) & ~3
