"""Reading nft's own listing of our table. Pure.

Drift is found by comparing a digest of the listing with the one taken just after the rules were loaded (the seal): both
are made by nft from what the kernel holds, so every expression counts, and nothing has to be known about how this nft
version writes things. After nft itself was exchanged for another version its wording may differ; the seal names the
version's wording by what it is, so that init simply puts the same rules in force again.
"""

import re
from typing import NamedTuple
from zlib import crc32

from intercept.backends.nftables.hooks import ALIVE
from intercept.backends.nftables.match import ID_SETS
from intercept.backends.nftables.text import SEAL, STORE
from intercept.intent.listeners import Sign

_BLOCK = re.compile(r"^\t(chain|set|map|flowtable|counter) (\S+) \{$")
_RULE_COMMENT = re.compile(r' comment "([^"]*)"$')
_FAMILIES = {"ipv4": 4, "2": 4, "ipv6": 6, "10": 6}
_COUNTER = re.compile(r" counter packets (\d+) bytes \d+ ")


class Listing(NamedTuple):
    """chains: each with its rules' comments in order ('' where there is none). stored, seal: what the kernel keeps.
    alive: the listeners whose sign of life stands.

    digest tells accidents and hand edits, not attackers: who may edit the rules may edit the seal.
    """

    chains: dict[str, list[str]]
    sets: list[str]
    stored: str
    seal: str
    digest: str
    names_cgroup: bool
    counters: dict[str, int]
    alive: frozenset[Sign]


def read_listing(text: str) -> Listing:
    """`text` is `nft list table` of one table. Without counters' values its digest is that of the rules."""
    chains: dict[str, list[str]] = {}
    sets: list[str] = []
    judged: list[str] = []
    counters: dict[str, int] = {}
    alive: set[Sign] = set()
    for kind, name, lines in _blocks(text):
        if name.startswith(ID_SETS) and f"@{name} " not in text:
            continue  # made for rules that never came: an interrupted init left it, and it does nothing
        if kind == "chain":
            rules = [line for line in lines if not line.startswith("type ")]
            chains[name] = [_comment(rule) for rule in rules]
            _count(rules, counters)
        else:
            sets.append(name)
        if name in (STORE, SEAL):
            continue
        # What stands in these comes and goes with the proxy.
        if name.startswith(ALIVE):
            alive.update(Sign(name.removeprefix(ALIVE), family) for family in _families(" ".join(lines)))
        content = [one for one in lines if not one.startswith("elements")] if name.startswith(ALIVE) else lines
        judged += [f"{kind} {name}", *content]
    stored = "".join(comment[5:] for comment in sorted(chains.get(STORE, [])))
    whole = "\n".join([*judged, stored]).encode()
    seal = next(iter(chains.get(SEAL, [])), "")
    digest = f"{crc32(whole):08x}-{len(whole)}"
    return Listing(chains, sets, stored, seal, digest, "socket cgroupv2" in text, counters, frozenset(alive))


def _families(spec: str) -> list[int]:
    """The IP versions that stand in a set of nf_proto, as words or as numbers."""
    _, _, elements = spec.partition("elements = {")
    first_words = [element.split()[0] for element in elements.strip(" }").split(",") if element.split()]
    return [_FAMILIES[word] for word in first_words if word in _FAMILIES]


def _blocks(text: str) -> "list[tuple[str, str, list[str]]]":
    found: list[tuple[str, str, list[str]]] = []
    for line in text.splitlines():
        begin = _BLOCK.match(line)
        if begin:
            found.append((begin[1], begin[2], []))
        elif line.startswith("\t\t") and found:
            found[-1][2].append(line.strip())
    return found


def _comment(rule: str) -> str:
    found = _RULE_COMMENT.search(rule)
    return found[1] if found else ""


def _count(rules: list[str], counters: dict[str, int]) -> None:
    for rule in rules:
        counted = _COUNTER.search(rule)
        if counted:
            comment = _comment(rule)
            counters[comment] = counters.get(comment, 0) + int(counted[1])
