"""The PROXY protocol's header, which names a connection's client. `cext/engine/relay/announce.c` writes the same."""

import struct
from collections.abc import Mapping
from ipaddress import ip_address

from proxy.core.addresses import Address

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
Announced = Mapping[int, int]
"""Port of the workload -> the header's version, 1 or 2; ports that are not there get none."""


def header(version: int, client: Address, destination: Address) -> bytes:
    """Both addresses are of one family."""
    ends = [ip_address(one.ip) for one in (client, destination)]
    family = ends[0].version
    if version == 1:
        return f"PROXY TCP{family} {ends[0]} {ends[1]} {client.port} {destination.port}\r\n".encode()
    body = ends[0].packed + ends[1].packed + struct.pack("!HH", client.port, destination.port)
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x11 if family == 4 else 0x21, len(body)) + body
