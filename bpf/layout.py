"""Keys and values of the maps, as `wire.h` declares them. Pure; tests/unit/bpf holds the two together.

No enum and no dataclass here and in what `init` loads besides: each costs a millisecond of its 200 at import.
"""

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

VERSION = 5
"""Of everything in this file, direct_layout.py and their headers: maps of another version are never reused."""

SLOTS = 16
KIND_V4 = 256
"""Added to the kind of an IPv4 network: ::/0 must not hold the v4-mapped addresses."""
SHARERS = 8
TOLD_BY_HOOK, TOLD_BY_USER = 0, 1
"""From where an entry of tg_workload_ports comes (enum tg_told_by)."""
PORT_WORDS = 1024
_MAPPED = bytes(10) + b"\xff\xff"


class Kind:
    """What a key of the trie means (enum tg_kind)."""

    OWN = 1
    OUT_INCLUDE = 2
    OUT_EXCLUDE = 3
    IN_EXCLUDE = 4
    RESOLVER = 5
    EXEMPT_SOURCE = 6
    EXEMPT_UID = 7
    EXEMPT_GID = 8
    INCLUDE_GID = 9
    EXCLUDE_GID = 10
    USER_CLASS = 11
    CLASS_PORT = 12
    LOOPBACK_LISTED = 13


class Flag:
    """enum tg_flag."""

    OUT_ALL = 1 << 0
    OUT_CIDRS = 1 << 1
    OUT_EXCLUDES = 1 << 2
    IN_EXCLUDES = 1 << 3
    GIDS_LISTED = 1 << 4
    GIDS_EXCLUDED = 1 << 5
    USER_PORTS = 1 << 6
    EXEMPT_UIDS = 1 << 7
    EXEMPT_GIDS = 1 << 8
    EXEMPT_MARK = 1 << 9
    EXEMPT_SOURCES = 1 << 10
    DNS_ALL = 1 << 11
    DNS_RESOLVERS = 1 << 12
    SELF_DIRECT = 1 << 13
    HAIRPIN = 1 << 14
    WHEN_DOWN_OPEN = 1 << 15
    NO_IPV6 = 1 << 16
    IN_SCOPED = 1 << 17
    OUT_PORTS = 1 << 18
    UNGUARDED = 1 << 19


class Feature:
    """enum tg_feature."""

    SOCKOPS_NETNS = 1 << 0
    SET_RETVAL = 1 << 1
    INGRESS_IFINDEX = 1 << 2


RULES = (
    "exclude-outbound-ports",
    "own-listener",
    "own-listener-dns",
    "exempt-source",
    "exempt-uid",
    "exempt-gid",
    "exempt-mark",
    "hairpin-uid",
    "hairpin-gid",
    "hairpin-mark",
    "exclude-outbound-for",
    "include-outbound-gids",
    "exclude-outbound-gids",
    "exclude-outbound-cidrs",
    "dns",
    "udp",
    "self-call",
    "loopback",
    "include-outbound-ports",
    "include-outbound-cidrs",
    "default",
    "outbound-proxy-down",
    "ipv6-off",
    "loopback-interface",
    "inbound-outside-cgroup",
    "exclude-inbound-ports",
    "exclude-inbound-cidrs",
    "inbound-own-listener",
    "telemetry-port",
    "include-inbound-ports",
    "inbound-default",
    "inbound-proxy-down",
    "lost-destination",
    "link-local",
    "bound-to-interface",
    "lost-listener",
)
"""Counter index -> rule, a plan's own names where it has one (enum tg_rule, in order)."""


class Policy(NamedTuple):
    """struct tg_policy. Port sets are integers whose bit N stands for port N; dns_port 0: DNS is not captured."""

    netns_cookie: int
    flags: int
    outbound_port: int
    inbound_port: int
    dns_port: int
    telemetry_port: int
    exempt_mark: int = 0
    out_exclude: int = 0
    out_include: int = 0
    in_include: int = 0
    in_exclude: int = 0

    def pack(self) -> bytes:
        header = struct.pack(
            "=QIIHHHHQ",
            self.netns_cookie,
            self.flags,
            self.exempt_mark,
            self.outbound_port,
            self.inbound_port,
            self.dns_port,
            self.telemetry_port,
            0,
        )
        sets = (self.out_exclude, self.out_include, self.in_include, self.in_exclude)
        return header + b"".join(port_words(ports) for ports in sets)


POLICY_SIZE = 32 + 4 * 8 * PORT_WORDS
NET_KEY_SIZE = 24
NET_VALUE_SIZE = 4
FLOW_SIZE = 36
ENDPOINT_SIZE = 20
ONE = struct.pack("=I", 1)
ZERO = struct.pack("=I", 0)


def port_words(ports: int) -> bytes:
    """A set of ports, whose bit N stands for port N, as the programs hold it."""
    words = struct.unpack(f"<{PORT_WORDS}Q", ports.to_bytes(8 * PORT_WORDS, "little"))
    return struct.pack(f"={PORT_WORDS}Q", *words)


def ports_in(words: bytes) -> list[int]:
    """The other way round."""
    held = ((64 * index, word) for index, word in enumerate(struct.unpack(f"={PORT_WORDS}Q", words)) if word)
    return [first + bit for first, word in held for bit in range(64) if word >> bit & 1]


def ports_between(first: int, last: int) -> int:
    """The set of these ports, both ends included."""
    return ((1 << (last - first + 1)) - 1) << first


def address_bytes(address: Address) -> bytes:
    """16 bytes; IPv4 in its v4-mapped form."""
    return _MAPPED + address.packed if address.version == 4 else address.packed


def net_key(kind: int, network: Network) -> bytes:
    prefix = 32 + network.prefixlen + (96 if network.version == 4 else 0)
    family_kind = kind + KIND_V4 if network.version == 4 else kind
    return struct.pack("=I", prefix) + struct.pack(">I", family_kind) + address_bytes(network.network_address)


def kind_of(key: bytes) -> int:
    """Of an entry of the trie, whichever its family."""
    kind: int = struct.unpack_from(">I", key, 4)[0]
    return kind & ~KIND_V4


def number_key(kind: int, first: int, bits: int = 32, second: int | None = None, second_bits: int = 32) -> bytes:
    """A number, or a pair (then `first` counts whole), of which so many leading bits matter."""
    prefix = 32 + bits if second is None else 64 + second_bits
    return struct.pack("=I", prefix) + struct.pack(">4I", kind, first, second or 0, 0) + bytes(4)


def prefixes(first: int, last: int, width: int = 32) -> Iterable[tuple[int, int]]:
    """(value, leading bits) of the aligned blocks that make up first..last in numbers of `width` bits."""
    while first <= last:
        size = first & -first if first else 1 << width
        while size > last - first + 1:
            size >>= 1
        yield first, width - size.bit_length() + 1
        first += size


class Image(NamedTuple):
    """What one bank holds: the policy, and the trie's entries (key -> value)."""

    policy: bytes
    nets: dict[bytes, bytes]
