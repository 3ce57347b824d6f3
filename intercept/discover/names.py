"""Names of addresses: from the hosts file, and from the answers of name servers that passed by. Nothing is asked."""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from intercept.discover.seen import Address

HOSTS = Path("/etc/hosts")
MOST = 100_000
_RECORDS = 64
_HOPS = 32
A, CNAME, AAAA = 1, 5, 28


class Names:
    """The latest answer about an address counts."""

    def __init__(self, hosts: str = "") -> None:
        self._names = dict(of_hosts(hosts))

    def learn(self, answer: bytes) -> None:
        """Of a name server; what is no answer teaches nothing."""
        for name, address in of_answer(answer):
            if address in self._names or len(self._names) < MOST:
                self._names[address] = name

    def of(self, address: Address) -> str:
        """Empty: it is not known."""
        return self._names.get(address, "")


def read_hosts() -> str:
    try:
        return HOSTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def of_hosts(text: str) -> Iterator[tuple[Address, str]]:
    """The first name of each address."""
    found: dict[Address, str] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        try:
            address = ip_address(words[0])
        except ValueError:
            continue
        if found.setdefault(address, words[1]) == words[1]:
            yield address, words[1]


def of_answer(message: bytes) -> Iterator[tuple[str, Address]]:
    """The name that was asked for, with each address of the answer: aliases lead there, and people know the name."""
    try:
        yield from _addresses(message)
    except (struct.error, IndexError, ValueError):
        return  # cut short, or no message of DNS


def _addresses(message: bytes) -> Iterator[tuple[str, Address]]:
    _, flags, questions, answers = struct.unpack_from(">4H", message)
    if not flags & 0x8000 or questions != 1:
        return
    asked, at = _name(message, 12)
    at += 4
    for _ in range(min(answers, _RECORDS)):
        _, at = _name(message, at)
        kind, _, _, length = struct.unpack_from(">HHIH", message, at)
        at += 10
        data = message[at : at + length]
        at += length
        if kind == A and length == 4 and len(data) == 4:
            yield asked, IPv4Address(data)
        elif kind == AAAA and length == 16 and len(data) == 16:
            yield asked, IPv6Address(data)


def _name(message: bytes, at: int) -> tuple[str, int]:
    """The name that begins there, in lower case, and where what follows it begins. Raises ValueError, IndexError."""
    labels: list[str] = []
    after = -1
    for _ in range(_HOPS):
        length = message[at]
        if length >= 0xC0:
            after = at + 2 if after < 0 else after
            at = (length & 0x3F) << 8 | message[at + 1]
        elif length == 0:
            name = ".".join(labels)
            if not name or len(name) > 253:
                raise ValueError("no name")
            return name, at + 1 if after < 0 else after
        else:
            label = message[at + 1 : at + 1 + length]
            if len(label) != length or length > 63:
                raise ValueError("a label that is cut")
            labels.append("".join(chr(byte) if 0x21 <= byte <= 0x7E else f"\\x{byte:02x}" for byte in label).lower())
            at += 1 + length
    raise ValueError("a name that leads in circles")
