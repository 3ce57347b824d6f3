"""Flags from hostile annotations: a value is refused with its name, or stays a value."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from intercept.backends import backend
from intercept.errors import BadInput
from intercept.host.facts import HostFacts
from intercept.intent.from_flags import intent_from_flags
from intercept.intent.intent import Mode
from intercept.plan.build import build

HOST = HostFacts(resolvers=("10.0.0.53",))
PIECES = (
    "80",
    "10.0.0.0/8",
    "fd00::/8",
    "eth0",
    "lo",
    "1000",
    "tcp:80:5",
    "a",
    "/",
    "..",
    " ",
    "\t",
    ",",
    ",",
    "-",
    "*",
    ":",
    "%eth0",
    ";",
    "\n",
    "\r",
    "\0",
    "\v",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\u2028",
    "\u2029",
    "'",
    '"',
    "`",
    "$(id)",
    "${IFS}",
    "|",
    "&&",
    ">",
    "#",
    "\\",
    "\\n",
    "{",
    "}",
    "@alive_outbound",
    "; flush ruleset",
    '" accept',
    "\n add table x\n",
    " -j ACCEPT",
    "--dport",
    "! ",
    "\udc80",
    "\u0660",
    "\uff11",
    "e\u0301",
    "../../etc",
    "+",
    "0x50",
    "1e3",
    "65536",
    "-1",
)
LISTS = (
    "include-outbound-cidrs",
    "exclude-outbound-cidrs",
    "include-outbound-ports",
    "exclude-outbound-ports",
    "include-inbound-ports",
    "exclude-inbound-ports",
    "exclude-inbound-cidrs",
    "include-outbound-gids",
    "exclude-outbound-gids",
    "exclude-interfaces",
    "virtual-interfaces",
    "proxy-uid",
    "proxy-gid",
    "proxy-mark",
    "outbound-port",
    "tproxy-table",
    "tproxy-mark",
    "mode",
    "dns",
    "when-down",
    "ipv6",
    "self-calls",
)
hostile = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
QUOTED = re.compile(r'"[^"\n]*"')
PLAIN = re.compile(r"[A-Za-z0-9_ .:/@{}=!&|()<>,;+\t#*\[\]'-]*")
MODES = (Mode.NFTABLES, Mode.IPTABLES, Mode.TPROXY)


def texts_of(flags: dict[str, object]) -> list[str] | str:
    """The rules in each notation, with what stands in quotes taken out; or how the flags were refused."""
    try:
        intent = intent_from_flags(flags, cgroup_mount="/x")
    except BadInput as refused:
        return str(refused)
    texts = [backend(mode).render(build(intent, HOST, mode)) for mode in MODES]
    for text in texts:
        assert text.splitlines() == text.rstrip("\n").split("\n"), "nothing that some reader takes for a line's end"
    return [QUOTED.sub('""', text) for text in texts]


@settings(max_examples=400)
@given(st.sampled_from(LISTS), hostile)
@example("exclude-interfaces", 'eth0" accept')
@example("include-outbound-ports", "80\n flush ruleset")
def test_a_hostile_value_is_refused_with_its_flag_or_is_plain(name: str, value: str) -> None:
    texts = texts_of({name: value})
    if isinstance(texts, str):
        assert f"--{name}" in texts
        assert len(texts.splitlines()) == 1, "a message is one line, whatever the token holds"
        return
    for text in texts:
        assert all(PLAIN.fullmatch(line.replace('""', "")) for line in text.split("\n")), text


@settings(max_examples=400)
@given(hostile)
@example("a\x85b")
@example("a\u2028b")
@example("a b;c$(id)")
def test_a_hostile_cgroup_is_refused_or_stays_within_its_quotes(value: str) -> None:
    texts = texts_of({"cgroup": value})
    if isinstance(texts, str):
        assert "--cgroup" in texts
        assert len(texts.splitlines()) == 1
        return
    depth = len([part for part in value.strip(" \t").split("/") if part not in ("", ".")])
    assert texts == texts_of({"cgroup": "/".join("a" * depth)} if depth else {})
