"""What Python writes is what the programs read: layout.py against wire.h, and the codecs against what they mean."""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf import layout
from bpf.layout import Feature, Flag, Kind, Policy

WIRE = (Path(layout.__file__).parent / "include" / "wire.h").read_text()
UNDER_OTHER_NAMES = {
    "default": "OUT_DEFAULT",
    "own-listener": "OUT_LISTENER",
    "inbound-own-listener": "IN_LISTENER",
    "inbound-default": "IN_DEFAULT",
}


def enumerators(name: str) -> dict[str, int]:
    body = re.search(rf"enum {name} {{(.*?)}};", WIRE, re.DOTALL)
    assert body is not None, name
    found: dict[str, int] = {}
    following = 0
    for item in re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL).split(","):
        if not item.strip():
            continue
        label, _, value = item.partition("=")
        number = eval(value, {}) if value else following  # noqa: S307 # our own header: "1 << 3"
        found[label.strip().removeprefix("TG_").removeprefix("FEATURE_")] = number
        following = number + 1
    return found


@pytest.mark.parametrize(("name", "python"), [("tg_kind", Kind), ("tg_flag", Flag), ("tg_feature", Feature)])
def test_numbers_are_those_of_the_header(name: str, python: type[object]) -> None:
    assert enumerators(name) == {member: value for member, value in vars(python).items() if member.isupper()}


def test_every_rule_has_its_name_in_order() -> None:
    rules = enumerators("tg_rule")
    assert rules.pop("RULES") == len(layout.RULES) == len(rules)
    assert layout.RULES[rules["RULE_OUT_LISTENER"]] == "own-listener"
    for name, constant in UNDER_OTHER_NAMES.items():
        assert layout.RULES.index(name) == rules[f"RULE_{constant}"]


@pytest.mark.parametrize(
    ("constant", "value"),
    [
        ("TG_SLOTS", layout.SLOTS),
        ("TG_SHARERS", layout.SHARERS),
        ("TG_PORT_WORDS", layout.PORT_WORDS),
        ("TG_KIND_V4", layout.KIND_V4),
    ],
)
def test_sizes_are_those_of_the_header(constant: str, value: int) -> None:
    found = re.search(rf"#define {constant} (\d+)", WIRE)
    assert found is not None
    assert int(found[1]) == value


port_sets = st.sets(st.integers(1, 65535), max_size=8)


@given(port_sets, port_sets, st.integers(0, 2**64 - 1))
def test_a_port_is_in_the_set_that_the_programs_look_in(excluded: set[int], included: set[int], cookie: int) -> None:
    def as_bits(ports: set[int]) -> int:
        return sum(1 << port for port in ports)

    packed = Policy(
        cookie, Flag.HAIRPIN, 1, 2, 3, 4, out_exclude=as_bits(excluded), in_include=as_bits(included)
    ).pack()
    assert len(packed) == layout.POLICY_SIZE
    assert struct.unpack_from("=QII4H", packed) == (cookie, Flag.HAIRPIN, 0, 1, 2, 3, 4)

    def is_in(which: int, port: int) -> bool:
        (word,) = struct.unpack_from("=Q", packed, 32 + 8 * (which * layout.PORT_WORDS + (port >> 6)))
        return bool(word >> (port & 63) & 1)

    assert layout.ports_in(packed[32 : 32 + 8 * layout.PORT_WORDS]) == sorted(excluded)
    for port in excluded | included | {1, 64, 65535}:
        assert is_in(0, port) == (port in excluded)
        assert is_in(2, port) == (port in included)


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_ports_between(one: int, other: int) -> None:
    first, last = sorted((one, other))
    ports = layout.ports_between(first, last)
    assert ports.bit_count() == last - first + 1
    assert ports >> first & 1
    assert ports >> last & 1


def trie_find(entries: set[bytes], key: bytes) -> bool:
    """Whether a longest-prefix trie with these keys finds `key`, whose own prefix length is the full one."""
    (asked,) = struct.unpack_from("=I", key)
    data = int.from_bytes(key[4:], "big")
    for entry in entries:
        (length,) = struct.unpack_from("=I", entry)
        shift = 8 * len(entry[4:]) - length
        if length <= asked and int.from_bytes(entry[4:], "big") >> shift == data >> shift:
            return True
    return False


networks = st.one_of(
    st.builds(lambda a, n: IPv4Network((a, n), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)),
    st.builds(lambda a, n: IPv6Network((a, n), strict=False), st.integers(0, 2**128 - 1), st.integers(0, 128)),
)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(st.lists(networks, max_size=5), addresses)
def test_the_trie_holds_exactly_the_addresses_of_its_networks(held: list[layout.Network], address: object) -> None:
    asked = ip_address(str(address))
    if asked.version == 6 and asked.ipv4_mapped is not None:
        return
    entries = {layout.net_key(Kind.OUT_INCLUDE, one) for one in held}
    whole = ip_network(asked)
    expected = any(asked.version == one.version and asked in one for one in held)
    assert trie_find(entries, layout.net_key(Kind.OUT_INCLUDE, whole)) == expected
    assert not trie_find(entries, layout.net_key(Kind.OUT_EXCLUDE, whole))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_range_of_numbers_becomes_blocks_that_hold_it_and_nothing_else(one: int, other: int, asked: int) -> None:
    first, last = sorted((one, other))
    entries = {layout.number_key(Kind.INCLUDE_GID, value, bits) for value, bits in layout.prefixes(first, last)}
    for number in {asked, first, last, max(0, first - 1), min(2**32 - 1, last + 1)}:
        key = layout.number_key(Kind.INCLUDE_GID, number, second=0)
        assert trie_find(entries, key) == (first <= number <= last)
