"""nftables text, and reading nft's listing of it."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings

from intercept.backends import nft_elements, nft_render
from intercept.backends.nft_listing import read_listing
from intercept.from_flags import intent_from_flags
from intercept.host import HostFacts
from intercept.intent import IdRange, Mode
from intercept.plan import build
from tests.unit.intercept import strategies

HOST = HostFacts(resolvers=("10.0.0.53", "fd00::53"))
LINE = re.compile(r'[A-Za-z0-9_ .:/@{}=!&|()<>,;"+\\\t*-]*')


def rendered(flags: dict[str, Any], mode: Mode = Mode.NFTABLES) -> str:
    plan = build(intent_from_flags(flags, cgroup_mount="/x"), HOST, mode)
    table = nft_render.build(plan)
    return nft_render.text("tidegate", table, stored="abc=")


@settings(max_examples=60)
@given(strategies.flags())
def test_only_known_words_and_plain_values_reach_nft(flags: dict[str, Any]) -> None:
    for mode in (Mode.NFTABLES, Mode.TPROXY):
        text = rendered(flags, mode)
        for line in text.splitlines():
            assert LINE.fullmatch(line), line
            assert line.count('"') % 2 == 0
        chains = re.findall(r"^\tchain (\S+) \{$", text, re.MULTILINE)
        assert len(chains) == len(set(chains))
        assert set(re.findall(r"goto (\S+)", text)) <= set(chains)
        sets = set(re.findall(r"^\tset (\S+) \{$", text, re.MULTILINE))
        assert set(re.findall(r"@(\w+)", text)) <= sets
        # nft would ask the name service about ids: none may stand in the text.
        assert not re.search(r"skuid (?!@|!= @)|skgid (?!@|!= @)", text)


def test_a_hook_that_has_nothing_to_do_is_not_there() -> None:
    def hooks(text: str) -> set[str]:
        return set(re.findall(r"chain (\w+) \{\n\t\ttype", text))

    usual = {"guard_output", "guard_prerouting", "nat_output", "nat_prerouting"}
    assert hooks(rendered({})) == usual
    assert hooks(rendered({"dns": "all"})) == {"raw_output", *usual}
    assert hooks(rendered({}, Mode.TPROXY)) == {"mangle_prerouting", *usual} - {"nat_prerouting"}


def test_packets_of_begun_connections_are_let_pass_by_the_first_rule_of_each_guard() -> None:
    for flags in ({}, {"dns": "all"}):
        guards = re.findall(r"chain guard_(\w+) \{\n\t\ttype.*\n((?:\t\t.*\n)*)", rendered(flags))
        found = {hook: re.findall(r'comment "([^"]+)"', rules) for hook, rules in guards}
        listeners = ["own-listener", "own-listener-dns"] if flags else ["own-listener"]
        assert found == {
            "output": ["begun", *listeners],
            "prerouting": ["loopback-interface", "begun", *listeners],
        }


def test_overlapping_networks_are_merged() -> None:
    text = rendered({"include-outbound-cidrs": "10.0.0.0/8,10.1.0.0/16,11.0.0.0/8,192.0.2.1"})
    assert "elements = { 10.0.0.0-11.255.255.255, 192.0.2.1 }" in text


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

    nft_elements.add_ids(Netlink(), "t", {"s": (IdRange(5, 7), IdRange(4294967290, 4294967294))})  # type: ignore[arg-type]
    for value in (5, 8, 4294967290, 4294967295):
        assert value.to_bytes(4, "big") in Netlink.sent
