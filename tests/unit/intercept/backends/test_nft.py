"""nftables text, and reading nft's listing of it."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings

from intercept.backends.nftables import elements, text
from intercept.backends.nftables.listing import read_listing
from intercept.host.facts import HostFacts
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import IdRange, Mode
from intercept.plan.build import build
from tests.unit.intercept import strategies

HOST = HostFacts(resolvers=("10.0.0.53", "fd00::53"))
LINE = re.compile(r'[A-Za-z0-9_ .:/@{}=!&|()<>,;"+\\\t*-]*')


def rendered(flags: dict[str, Any], mode: Mode = Mode.NFTABLES) -> str:
    plan = build(intent_from_flags(flags, cgroup_mount="/x"), HOST, mode)
    table = text.build(plan)
    return text.table_text("tidegate", table, stored="abc=")


@settings(max_examples=60)
@given(strategies.flags())
def test_only_known_words_and_plain_values_reach_nft(flags: dict[str, Any]) -> None:
    for mode in (Mode.NFTABLES, Mode.TPROXY):
        written = rendered(flags, mode)
        for line in written.splitlines():
            assert LINE.fullmatch(line), line
            assert line.count('"') % 2 == 0
        chains = re.findall(r"^\tchain (\S+) \{$", written, re.MULTILINE)
        assert len(chains) == len(set(chains))
        assert set(re.findall(r"goto (\S+)", written)) <= set(chains)
        sets = set(re.findall(r"^\tset (\S+) \{$", written, re.MULTILINE))
        assert set(re.findall(r"@(\w+)", written)) <= sets
        # nft would ask the name service about ids: none may stand in the text.
        assert not re.search(r"skuid (?!@|!= @)|skgid (?!@|!= @)", written)


def chains(written: str) -> dict[str, list[str]]:
    """The rules' names of each chain that hangs on a hook."""
    found = re.findall(r"chain (\w+) \{\n\t\ttype.*\n((?:\t\t.*\n)*)", written)
    return {name: re.findall(r'comment "([^"]+)"', rules) for name, rules in found}


def test_a_hook_that_has_nothing_to_do_is_not_there() -> None:
    assert set(chains(rendered({}))) == {"nat_output", "nat_prerouting"}
    assert set(chains(rendered({"dns": "all"}))) == {"raw_output", "nat_output", "nat_prerouting"}
    assert set(chains(rendered({}, Mode.TPROXY))) == {"nat_output", "mangle_prerouting", "answers_output"}
    dropping = rendered({"drop-invalid": True})
    assert chains(dropping)["guard_output"] == ["drop-invalid"]
    assert chains(dropping)["guard_prerouting"] == ["loopback-interface", "not-local", "drop-invalid"]


def test_a_listener_dialled_straight_is_refused_in_each_direction_once() -> None:
    nothing = {"include-inbound-ports": "", "include-outbound-cidrs": ""}
    for flags in ({}, {"dns": "all"}, {"drop-invalid": True}, nothing):
        for mode in (Mode.NFTABLES, Mode.TPROXY):
            lines = [line for line in rendered(flags, mode).splitlines() if "reject" in line and "own-listener" in line]
            assert len(lines) == (4 if "dns" in flags else 2), (flags, mode, lines)
    # Without a redirection there may be no conntrack, and then nobody calls a NAT chain.
    assert set(chains(rendered(nothing))) == {"guard_output", "guard_prerouting"}


def test_overlapping_networks_are_merged() -> None:
    written = rendered({"include-outbound-cidrs": "10.0.0.0/8,10.1.0.0/16,11.0.0.0/8,192.0.2.1"})
    assert "elements = { 10.0.0.0-11.255.255.255, 192.0.2.1 }" in written


LISTING = """table inet tidegate {
\tset uids_00000001 {
\t\ttype uid
\t\tflags interval
\t\telements = { 1337 }
\t}

\tset alive_outbound {
\t\ttype nf_proto
\t\tflags timeout
\t\telements = { ipv4 timeout 900ms expires 5ms }
\t}

\tchain nat_output {
\t\ttype nat hook output priority -100; policy accept;
\t\tmeta skuid @uids_00000001 counter packets 3 bytes 180 accept comment "exempt-uid"
\t\tmeta l4proto 6 counter packets 5 bytes 300 redirect to :15001 comment "all"
\t}

\tchain intent {
\t\taccept comment "00001def"
\t\taccept comment "00000abc"
\t}

\tchain seal {
\t\taccept comment "12345678-90"
\t}
}
"""


def test_a_listing_is_read() -> None:
    listing = read_listing(LISTING)
    assert listing.chains["nat_output"] == ["exempt-uid", "all"]
    assert listing.stored == "abcdef"
    assert listing.seal == "12345678-90"
    assert listing.counters == {"exempt-uid": 3, "all": 5}
    assert not listing.names_cgroup


def test_the_digest_sees_rules_and_sets_but_not_signs_of_life_or_left_overs() -> None:
    plain = read_listing(LISTING).digest
    assert read_listing(LISTING.replace("expires 5ms", "expires 1ms")).digest == plain
    assert read_listing(LISTING.replace("12345678-90", "0-0")).digest == plain
    unused = LISTING.replace("\tset alive_outbound", "\tset gids_00000002 {\n\t\ttype gid\n\t}\n\n\tset alive_outbound")
    assert read_listing(unused).digest == plain
    for changed in (
        LISTING.replace(":15001", ":15002"),
        LISTING.replace("{ 1337 }", "{ 1338 }"),
        LISTING.replace('accept comment "exempt-uid"', 'drop comment "exempt-uid"'),
        LISTING.replace("00000abc", "00000abd"),
    ):
        assert read_listing(changed).digest != plain


def test_id_ranges_end_where_they_end() -> None:
    class Netlink:
        sent = b""

        def send(self, batch: bytes) -> int:
            Netlink.sent = batch
            return len(batch)

        def recv(self, _size: int) -> bytes:
            return bytes.fromhex("14000000020000000000000000000000") + b"\0" * 4

    elements.add_ids(Netlink(), "t", {"s": (IdRange(5, 7), IdRange(4294967290, 4294967294))})  # type: ignore[arg-type]
    for value in (5, 8, 4294967290, 4294967295):
        assert value.to_bytes(4, "big") in Netlink.sent
