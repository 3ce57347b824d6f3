"""One iptables rule: its text, and its entry as the kernel lays it out for IPv4 or IPv6. Pure."""

import struct

from intercept.backends.iptables.parts import Lookup, Match, Target
from intercept.intent.intent import Network
from intercept.intent.value import Value

PROTOCOLS = {"tcp": 6, "udp": 17}
_INV_IN, _INV_OUT, _INV_SRC, _INV_DST, _INV_PROTO = 0x01, 0x02, 0x08, 0x10, 0x40
ENTRY_SIZE = {4: 112, 6: 168}
_GOTO = {4: 0x02, 6: 0x04}
_F6_PROTO = 0x01


class Header(Value):
    """What stands in the entry itself. Interface names are literal. Negated ones are marked by their own field."""

    protocol: str | None = None
    not_protocol: bool = False
    source: Network | None = None
    destination: Network | None = None
    not_destination: bool = False
    in_interface: str | None = None
    out_interface: str | None = None

    def also(self, other: "Header") -> "Header":
        """Both. Where both say something of one thing (the protocol), it is the same."""
        return Header(
            protocol=self.protocol or other.protocol,
            not_protocol=self.not_protocol or other.not_protocol,
            source=self.source or other.source,
            destination=self.destination or other.destination,
            not_destination=self.not_destination or other.not_destination,
            in_interface=self.in_interface or other.in_interface,
            out_interface=self.out_interface or other.out_interface,
        )


class XtRule(Value):
    header: Header
    matches: tuple[Match, ...]
    target: Target

    def text(self) -> str:
        """As iptables-save writes it, without `-A CHAIN`."""
        head = self.header
        words = []
        if head.source is not None:
            words.append(f"-s {head.source}")
        if head.destination is not None:
            words.append(f"{'! ' if head.not_destination else ''}-d {head.destination}")
        if head.in_interface is not None:
            words.append(f"-i {head.in_interface}")
        if head.out_interface is not None:
            words.append(f"-o {head.out_interface}")
        if head.protocol is not None:
            words.append(f"{'! ' if head.not_protocol else ''}-p {head.protocol}")
        return " ".join([*words, *(match.text for match in self.matches), self.target.text])

    def entry(self, family: int, sets: Lookup) -> bytes:
        """For libiptc: jump targets by name, offsets set, counters zero."""
        matches = b"".join(_element(match.module, match.revision, match.data(family, sets)) for match in self.matches)
        target = _element(self.target.name, self.target.revision, self.target.data(family))
        offset = ENTRY_SIZE[family] + len(matches)
        return self._head(family, offset, offset + len(target)) + matches + target

    def _head(self, family: int, target_offset: int, next_offset: int) -> bytes:
        head = self.header
        inverted = (_INV_PROTO if head.not_protocol else 0) | (_INV_DST if head.not_destination else 0)
        source, source_mask = _address(head.source, family)
        destination, destination_mask = _address(head.destination, family)
        into, into_mask = _interface(head.in_interface)
        out, out_mask = _interface(head.out_interface)
        addresses = source + destination + source_mask + destination_mask
        names = into + out + into_mask + out_mask
        protocol = PROTOCOLS[head.protocol] if head.protocol else 0
        flags = _GOTO[family] if self.target.goto else 0
        if family == 4:
            packet = addresses + names + struct.pack("=HBB", protocol, flags, inverted)
        else:
            flags |= _F6_PROTO if protocol else 0
            packet = addresses + names + struct.pack("=HBBB3x", protocol, 0, flags, inverted)
        head_end = packet + struct.pack("=IHHI", 0, target_offset, next_offset, 0)
        return head_end + b"\0" * (ENTRY_SIZE[family] - len(head_end))


def _address(network: Network | None, family: int) -> tuple[bytes, bytes]:
    size = 4 if family == 4 else 16
    if network is None:
        return b"\0" * size, b"\0" * size
    if network.version != family:
        raise ValueError(f"{network} in a rule of IPv{family}")
    return network.network_address.packed, network.netmask.packed


def _interface(name: str | None) -> tuple[bytes, bytes]:
    if name is None:
        return b"\0" * 16, b"\0" * 16
    raw = name.encode() + b"\0"
    return raw.ljust(16, b"\0"), (b"\xff" * len(raw)).ljust(16, b"\0")


def _element(name: str, revision: int, data: bytes) -> bytes:
    """A match or target: size, name, revision, then its own data, aligned to 8."""
    padded = data + b"\0" * (-len(data) % 8)
    return struct.pack("=H29sB", 32 + len(padded), name.encode(), revision) + padded
