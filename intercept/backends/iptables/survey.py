"""What of ours stands in the kernel, in force or left over: read from tables and sets, told apart by name."""

import re

from intercept import runs
from intercept.backends.iptables import blob
from intercept.backends.iptables.generation import CHAIN_NAME, GATE, Generation, Table, tag_of
from intercept.backends.iptables.ipset import Ipset
from intercept.plan.stored import unpack

TABLES = ("raw", "mangle", "nat", "filter")


class Installed:
    """What stands under one tag. full: the gate holds every port."""

    def __init__(self, generations: dict[str, Generation], sets: list[str], gate: str, full: bool) -> None:
        self.generations = generations
        self.sets = sets
        self.has_gate = gate in sets
        self.full = full

    @property
    def active(self) -> Generation | None:
        """The one in force: complete, for it has its document, and let in by the gate."""
        return self.generations.get("A" if self.full else "B") if self.has_gate else None


def survey(ipset: Ipset, tag: str) -> Installed:
    """Everything of ours under `tag`, in force or left over."""
    generations: dict[str, Generation] = {}
    for family in (4, 6):
        for table in TABLES:
            _survey_table(family, table, tag, generations)
    sets = [name for name in ipset.names() if name.startswith(f"{tag}_")]
    gate = f"{tag}_{GATE}"
    for name in sets:
        found = CHAIN_NAME.fullmatch(name)
        if found:
            generations.setdefault(found[2], Generation(tag, found[2])).own_sets.append(name)
    for generation in generations.values():
        generation.own_sets.sort()
    return Installed(generations, sets, gate, gate in sets and ipset.has_port(gate, 1))


def _survey_table(family: int, table: str, tag: str, generations: dict[str, Generation]) -> None:
    for chain, entries in blob.read_table(family, table).items():
        found = CHAIN_NAME.fullmatch(chain)
        if found and found[1] == tag:
            generation = generations.setdefault(found[2], Generation(tag, found[2]))
            generation.found.setdefault((family, table), Table()).chains[chain] = entries
            if found[3] == "DOC":
                _read_document(generation, entries)
            continue
        for position, entry in enumerate(entries, 1):
            leads = CHAIN_NAME.fullmatch(entry.target)
            if leads and leads[1] == tag and not found:
                generation = generations.setdefault(leads[2], Generation(tag, leads[2]))
                generation.found.setdefault((family, table), Table()).jumps.append((chain, position, entry))


def _read_document(generation: Generation, entries: list[blob.Entry]) -> None:
    comments = [entry.comment for entry in entries]
    if len(comments) > 2 and comments[0].startswith("name ") and comments[1].startswith("seal "):
        generation.name = comments[0].removeprefix("name ")
        generation.seal = comments[1].removeprefix("seal ")
        generation.document = unpack("".join(comments[2:]))


def names_here(ipset: Ipset) -> set[str]:
    """The names whose rules or sets stand here; left-overs whose name can't be told any more count as the plain one."""
    tags = {found[1] for name in ipset.names() if (found := re.match(r"(TIDEGATE(?:-[0-9a-f]{8})?)_", name))}
    for family in (4, 6):
        for table in TABLES:
            tags |= {found[1] for chain in blob.read_table(family, table) if (found := CHAIN_NAME.fullmatch(chain))}
    names: set[str] = set()
    for tag in tags:
        told = {one.name for one in survey(ipset, tag).generations.values() if one.name is not None}
        names |= told or {runs.PLAIN if tag == tag_of(runs.PLAIN) else tag}
    return names
