"""A checksum of rules and sets as they were put in force, by which a later change to them shows."""

import struct
from collections.abc import Iterable, Iterator
from zlib import crc32

from intercept.backends.iptables.ipset import Ipset


def sealed(tables: Iterable[tuple[tuple[int, str], Iterator[tuple[str, list[bytes]]]]]) -> str:
    """Order of tables and chains doesn't count, order of rules does."""
    pieces = []
    for (family, table), chains in tables:
        for chain, entries in chains:
            body = b"".join(struct.pack("=I", len(entry)) + entry for entry in entries)
            pieces.append(f"{family} {table} {chain} {crc32(body):08x}")
    return f"{crc32(chr(10).join(sorted(pieces)).encode()):08x}-{len(pieces)}"


def seal_of_sets(ipset: Ipset, names: list[str]) -> str:
    if not names:
        return ""
    whole = b"".join(name.encode() + ipset.content(name) for name in names)
    return f"-{crc32(whole):08x}"
