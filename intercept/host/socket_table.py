"""Sockets as /proc/net shows them: slower than asking the kernel's socket diagnosis, and there on every kernel."""

import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from intercept.host.listeners import Listening

Endpoint = tuple[IPv4Address | IPv6Address, int]

LISTEN = "0A"
UNCONNECTED = "07"


class Row(NamedTuple):
    """version: of the table that it stands in; addresses are IPv4 where the socket's are v4-mapped."""

    version: int
    local: Endpoint
    remote: Endpoint
    state: str
    inode: int
    uid: int


def rows(protocol: str = "tcp") -> list[Row]:
    """`protocol`: tcp or udp. All sockets of this network namespace."""
    found = []
    for name, version in ((protocol, 4), (f"{protocol}6", 6)):
        with suppress(OSError), open(f"/proc/thread-self/net/{name}", encoding="ascii") as table:
            next(table, None)
            for line in table:
                fields = line.split()
                found.append(
                    Row(version, parsed(fields[1]), parsed(fields[2]), fields[3], int(fields[9]), int(fields[7]))
                )
    return found


def listening_rows(protocol: str) -> list[Listening]:
    """Those on which something can be received. Whether an IPv6 socket serves IPv4 too is not told here: it is taken
    to, where no IPv4 socket has the port."""
    wanted = LISTEN if protocol == "tcp" else UNCONNECTED
    open_rows = [row for row in rows(protocol) if row.state == wanted]
    v4_ports = {row.local[1] for row in open_rows if row.version == 4}
    return [_listening(row, v4_ports) for row in open_rows]


def _listening(row: Row, v4_ports: set[int]) -> Listening:
    address, port = row.local
    anywhere = address.is_unspecified
    both = row.version == 6 and anywhere and port not in v4_ports
    return Listening(port, (4, 6) if both else (row.version,), None if anywhere else address, row.inode, None)


def parsed(text: str) -> Endpoint:
    """`0100007F:3A98`: the address in 32-bit words of the machine's byte order."""
    address, _, port = text.partition(":")
    raw = b"".join(struct.pack("=I", int(address[i : i + 8], 16)) for i in range(0, len(address), 8))
    return unmapped(IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw)), int(port, 16)


def unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
