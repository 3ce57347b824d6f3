"""The addresses of this network namespace, without the cost of a netlink library."""

import array
import fcntl
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

SIOCGIFCONF = 0x8912
# struct ifreq: a name of 16 bytes, then a sockaddr_in whose address stands at offset 4; 40 bytes on 64-bit machines.
IFREQ_SIZE = 16 + max(struct.calcsize("16s"), struct.calcsize("P") * 3)
MOST_ADDRESSES = 4096
IPV6_TENTATIVE_OR_FAILED = 0x40 | 0x08


def own_addresses() -> list[IPv4Address | IPv6Address]:
    """Every usable unicast address but loopback's and link-local ones, IPv4 first."""
    found = [*_ipv4(), *_ipv6()]
    return [address for address in found if not address.is_loopback and not address.is_link_local]


def _ipv4() -> Iterator[IPv4Address]:
    names = array.array("B", bytes(IFREQ_SIZE * MOST_ADDRESSES))
    where, _ = names.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, SIOCGIFCONF, struct.pack("iP", len(names), where))
    size, _ = struct.unpack("iP", answer)
    for offset in range(0, size, IFREQ_SIZE):
        yield IPv4Address(names[offset + 20 : offset + 24].tobytes())


def _ipv6() -> Iterator[IPv6Address]:
    table = Path("/proc/self/net/if_inet6")
    if not table.exists():  # IPv6 is off in this kernel
        return
    for line in table.read_text().splitlines():
        digits, _index, _length, _scope, flags, _name = line.split()
        if not int(flags, 16) & IPV6_TENTATIVE_OR_FAILED:
            yield IPv6Address(bytes.fromhex(digits))
