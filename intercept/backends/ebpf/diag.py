"""Every TCP listener of this network namespace as socket diagnosis tells it: no privilege, no look into a process."""

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

from bpf.layout import address_bytes
from intercept.host.listeners import answers, attributes

_SOCK_DIAG, _BY_FAMILY, _DUMP, _LISTENING = 4, 20, 0x301, 1 << 10
_HEADER = struct.Struct("=IHHII")
_MESSAGE_SIZE, _CGROUP_ID = 72, 21


class Listener(NamedTuple):
    """version: of IP. address: as the programs have it. cgroup: id of the folder in which the socket was made, 0 before
    Linux 5.8."""

    version: int
    address: bytes
    port: int
    inode: int
    cookie: int
    cgroup: int


def listeners() -> list[Listener]:
    """Raises Unsupported where the kernel can't tell."""
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as diag:
        for family in (socket.AF_INET, socket.AF_INET6):
            body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _LISTENING) + bytes(48)
            diag.send(_HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _DUMP, 1, 0) + body)
            found += [read(message) for message in answers(diag)]
    return found


def read(message: bytes) -> Listener:
    """One `inet_diag_msg` with its attributes. Pure."""
    version, raw = (4, message[8:12]) if message[0] == socket.AF_INET else (6, message[8:24])
    (port,) = struct.unpack_from("!H", message, 4)
    (cookie,) = struct.unpack_from("=Q", message, 44)
    (inode,) = struct.unpack_from("=I", message, 68)
    told = _attributes(message)
    (cgroup,) = struct.unpack("=Q", told.get(_CGROUP_ID, bytes(8)))
    return Listener(version, address_bytes(ip_address(raw)), port, inode, cookie, cgroup)


def _attributes(message: bytes) -> dict[int, bytes]:
    pairs: Iterator[tuple[int, bytes]] = attributes(message[_MESSAGE_SIZE:])
    return dict(pairs)
