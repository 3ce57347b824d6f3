"""iptables rules: what is encoded is what the kernel's own layout says, and is read back as the same."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings

from intercept.backends.iptables import backend as iptables
from intercept.backends.iptables import blob, parts
from intercept.backends.iptables.generation import laid_out
from intercept.backends.iptables.rule import ENTRY_SIZE, Header, XtRule
from intercept.host.facts import HostFacts
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import IdRange, Mode, PortRange
from intercept.intent.parsing import network
from intercept.plan.build import build
from tests.unit.intercept import strategies

HOST = HostFacts(resolvers=("10.0.0.53", "fd00::53"))
# From the sizes that `iptables-legacy` 1.8.9 writes: match and target headers included.
SIZES = {
    "tcp": 48, "udp": 48, "multiport": 80, "set": 80, "addrtype": 40, "owner": 56, "mark": 48, "cgroup": 560,
    "conntrack": 200, "comment": 288,
}  # fmt: skip


def index_of(name: str) -> int:
    return sum(name.encode()) % 60000


def matches() -> list[parts.Match]:
    many = tuple(PortRange(port, port + 1) for port in (1, 5, 9))
    return [
        parts.tcp_begun(), parts.dst_port("udp", PortRange(53, 53), False), parts.multiport(many, True),
        parts.in_set("S", True),
        parts.dst_local(False), parts.owner("uid", IdRange(1, 2), False), parts.mark(5, True), parts.cgroup("/a"),
        parts.ct_state("DNAT"), parts.comment("x"),
    ]  # fmt: skip


@pytest.mark.parametrize("match", matches(), ids=lambda match: match.module)
@pytest.mark.parametrize("family", [4, 6])
def test_matches_have_the_size_that_the_kernel_wants(match: parts.Match, family: int) -> None:
    entry = XtRule(Header(), (match,), parts.RETURN).entry(family, index_of)
    size, name, revision = struct.unpack_from("=H29sB", entry, ENTRY_SIZE[family])
    assert (size, name.rstrip(b"\0").decode(), revision) == (SIZES[match.module], match.module, match.revision)
    assert len(entry) == ENTRY_SIZE[family] + size + 40


def test_an_entry_says_where_it_ends() -> None:
    head = Header(protocol="tcp", destination=network("x", "10.0.0.0/8"), not_destination=True, out_interface="eth0")
    entry = XtRule(head, (), parts.redirect(15001)).entry(4, index_of)
    assert struct.unpack_from("=HH", entry, 88) == (112, len(entry))
    assert entry[4:8] == bytes([10, 0, 0, 0])
    assert entry[12:16] == bytes([255, 0, 0, 0])
    assert entry[32:37] == b"eth0\0"
    assert entry[64:69] == b"\xff" * 5
    assert struct.unpack_from("=HBB", entry, 80) == (6, 0, 0x10)


def test_a_rule_of_the_other_family_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="IPv6"):
        XtRule(Header(source=network("x", "10.0.0.0/8")), (), parts.RETURN).entry(6, index_of)


@settings(max_examples=40)
@given(strategies.flags())
def test_every_plan_is_encoded_for_both_families(flags: dict[str, Any]) -> None:
    if flags.get("cgroup"):
        flags.pop("include-inbound-ports", None)
    plan = build(intent_from_flags(flags, cgroup_mount="/x"), HOST, Mode.IPTABLES)
    generation = laid_out(plan, "document", "tidegate", "A")
    for family, tables in generation.built.items():
        for chains in tables.values():
            known = {generation.full(suffix) for suffix in chains}
            for suffix, chain in chains.items():
                assert len(generation.full(suffix)) <= 28
                for rule in chain.rules:
                    entry = rule.entry(family, index_of)
                    assert len(entry) % 8 == 0
                    assert struct.unpack_from("=H", entry, {4: 90, 6: 142}[family])[0] == len(entry)
                    if rule.target.goto:
                        assert rule.target.name in known
    text = iptables.render(plan)
    assert "'" not in text
    assert all(len(name) <= 31 for name in (*generation.sets.ports, *generation.sets.networks))


def packed(chains: dict[str, list[XtRule]]) -> tuple[dict[str, int], bytes]:
    """A table as the kernel gives it: built-in OUTPUT empty, then the chains, then the end; jumps by offset."""
    policy = XtRule(Header(), (), parts.RETURN).entry(4, index_of)

    def standard(entry: bytes, verdict: int) -> bytes:
        (target_offset,) = struct.unpack_from("=H", entry, 88)
        return entry[:target_offset] + struct.pack("=H30xi4x", 40, verdict)

    def error(name: str) -> bytes:
        head = bytearray(policy[:112])
        struct.pack_into("=HH", head, 88, 112, 176)
        return bytes(head) + struct.pack("=H29sB", 64, b"ERROR", 0) + name.encode().ljust(32, b"\0")

    out = standard(policy, -2)
    for name, rules in chains.items():
        out += error(name)
        for rule in rules:
            entry = rule.entry(4, index_of)
            out += standard(entry, -5) if rule.target is parts.RETURN else entry
        out += standard(policy, -5)
    return {"OUTPUT": 0}, out + error("ERROR")


def test_a_table_is_read_back_as_it_was_encoded() -> None:
    rules = [
        XtRule(Header(protocol="tcp"), (parts.tcp_begun(), parts.comment("begun")), parts.RETURN),
        XtRule(Header(protocol="tcp"), (parts.comment("x"),), parts.redirect(15001)),
    ]
    read = blob.parse(4, *packed({"TIDEGATE_A_OUT": rules, "TIDEGATE_A_IN": []}))
    assert {name: [(entry.target, entry.comment) for entry in entries] for name, entries in read.items()} == {
        "OUTPUT": [],
        "TIDEGATE_A_OUT": [("RETURN", "begun"), ("REDIRECT", "x")],
        "TIDEGATE_A_IN": [],
    }
    encoded = [blob.canonical(4, rule.entry(4, index_of)) for rule in rules]
    assert [entry.canonical for entry in read["TIDEGATE_A_OUT"]] == encoded


def test_canonical_forms_differ_where_rules_do() -> None:
    def form(rule: XtRule) -> bytes:
        return blob.canonical(4, rule.entry(4, index_of))

    one = XtRule(Header(protocol="tcp"), (), parts.redirect(15001))
    assert form(one) != form(XtRule(Header(protocol="tcp"), (), parts.redirect(15002)))
    assert form(one) != form(XtRule(Header(protocol="udp"), (), parts.redirect(15001)))
    assert form(XtRule(Header(), (), parts.RETURN)) != form(XtRule(Header(), (), parts.DROP))
    assert form(XtRule(Header(), (), parts.lead_to("A", goto=True))) != form(
        XtRule(Header(), (), parts.lead_to("B", goto=True))
    )
