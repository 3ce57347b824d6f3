"""Reading a whole table as the kernel hands it out (getsockopt), without libiptc. Pure but for `read_table`.

A rule's canonical form leaves out what isn't ours to compare: counters, offsets, and where in the table a jump leads;
it is the same for a rule that was just encoded and for one that the kernel gives back.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from intercept.backends.iptables import peek
from intercept.backends.iptables.rule import ENTRY_SIZE

_TARGET_OFFSET = {4: 88, 6: 140}
_HEAD = {4: 84, 6: 136}
_COUNTERS = {4: 96, 6: 152}
_CGROUP_PATH = 4
"""Where the path begins in the data of a cgroup match of revision 1 or 2; flags go before it."""
_STANDARD = {-1: "DROP", -2: "ACCEPT", -4: "QUEUE", -5: "RETURN"}


class Entry(NamedTuple):
    """canonical: what it does. comment, cgroup: the text of its comment match, the path of its cgroup match, '' without
    one. target: chain, verdict or module name."""

    canonical: bytes
    comment: str
    target: str
    packets: int
    cgroup: str = ""


Chains = dict[str, list[Entry]]


def read_table(family: int, table: str) -> Chains:
    """Chains with their rules; built-in ones by their hook's name. Empty when the table isn't loaded."""
    blob = peek.entries(family, table)
    return {} if blob is None else parse(family, *blob)


def parse(family: int, hooks: dict[str, int], blob: bytes) -> Chains:
    """`hooks`: built-in chain -> offset of its first rule."""
    chains: Chains = {}
    starts = {offset: name for name, offset in hooks.items()}
    raw: list[tuple[str, int, bytes]] = []
    chain = ""
    offset = 0
    while offset + ENTRY_SIZE[family] <= len(blob):
        target_offset, next_offset = struct.unpack_from("=HH", blob, offset + _TARGET_OFFSET[family])
        entry = blob[offset : offset + next_offset]
        name = _name(entry, target_offset)
        if offset in starts:
            chain = starts[offset]
            chains[chain] = []
        if name == "ERROR":
            # The head of a chain that users made; the last one closes the table.
            chain = entry[target_offset + 32 :].split(b"\0")[0].decode()
            if chain != "ERROR":
                chains[chain] = []
                starts[offset + next_offset] = chain
        else:
            raw.append((chain, offset, entry))
        offset += next_offset
    for where, _, entry in raw:
        chains[where].append(_read(family, entry, starts))
    # The last one of each chain is its policy.
    return {name: entries[:-1] for name, entries in chains.items()}


def canonical(family: int, entry: bytes) -> bytes:
    """Of an entry as XtRule encodes it: its target carries a name instead of an offset."""
    (target_offset,) = struct.unpack_from("=H", entry, _TARGET_OFFSET[family])
    return _canonical(family, entry, target_offset, _name(entry, target_offset))


def _read(family: int, entry: bytes, starts: dict[int, str]) -> Entry:
    (target_offset,) = struct.unpack_from("=H", entry, _TARGET_OFFSET[family])
    target = _name(entry, target_offset)
    if target == "":
        (verdict,) = struct.unpack_from("=i", entry, target_offset + 32)
        target = _STANDARD.get(verdict, "") if verdict < 0 else starts.get(verdict, "")
    (packets,) = struct.unpack_from("=Q", entry, _COUNTERS[family])
    matches = dict(_matches(entry[ENTRY_SIZE[family] : target_offset]))
    comment = _text(matches.get(("comment", 0), b""))
    cgroup = _text((matches.get(("cgroup", 2)) or matches.get(("cgroup", 1), b""))[_CGROUP_PATH:])
    return Entry(_canonical(family, entry, target_offset, target), comment, target, packets, cgroup)


def _canonical(family: int, entry: bytes, target_offset: int, target: str) -> bytes:
    standard = target in _STANDARD.values() or entry[target_offset + 32 : target_offset + 40] == b"\0" * 8
    plain = _name(entry, target_offset) in ("", target)
    own_data = b"" if standard or not plain or _is_jump(entry, target_offset) else entry[target_offset + 32 :]
    head = entry[: _HEAD[family]]
    matches = entry[ENTRY_SIZE[family] : target_offset]
    return head + matches + target.encode() + b"\0" + own_data


def _is_jump(entry: bytes, target_offset: int) -> bool:
    return _name(entry, target_offset) == ""


def _name(entry: bytes, offset: int) -> str:
    return entry[offset + 2 : offset + 31].split(b"\0")[0].decode(errors="replace")


def _matches(matches: bytes) -> Iterator[tuple[tuple[str, int], bytes]]:
    """(module, revision), its data."""
    offset = 0
    while offset + 32 <= len(matches):
        (size,) = struct.unpack_from("=H", matches, offset)
        yield (_text(matches[offset + 2 : offset + 31]), matches[offset + 31]), matches[offset + 32 : offset + size]
        offset += size or len(matches)


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode(errors="replace")
