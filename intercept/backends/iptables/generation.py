"""One generation of iptables rules: made from a plan, found again in the kernel, put in and taken out."""

import re
from collections.abc import Iterator, Mapping
from zlib import crc32

from intercept import runs
from intercept.backends.iptables import blob, build, parts, peek, tables
from intercept.backends.iptables.ipset import Ipset
from intercept.backends.iptables.match import Sets
from intercept.backends.iptables.rule import Header, XtRule
from intercept.backends.iptables.seal import seal_of_sets, sealed
from intercept.errors import CaptureError
from intercept.plan.rules import Plan
from intercept.plan.stored import pack

GATE, SPARE = "GEN", "SWP"
_DOCUMENT_TABLE = "nat"
_CHUNK = 240
CHAIN_NAME = re.compile(r"(TIDEGATE(?:-[0-9a-f]{8})?)_([AB])_(\w+)")
OTHER = {"A": "B", "B": "A"}


def tag_of(name: str) -> str:
    """What chains and sets of that name begin with: chain names have 28 characters, so runs go by a digest."""
    return "TIDEGATE" if name == runs.PLAIN else f"TIDEGATE-{crc32(name.encode()):08x}"


class Table:
    """What one generation has in one table: chain -> canonical entries; and where jumps lead to it."""

    def __init__(self) -> None:
        self.chains: dict[str, list[blob.Entry]] = {}
        self.jumps: list[tuple[str, int, blob.Entry]] = []

    def repeated(self) -> list[tuple[str, int]]:
        """Where jumps stand that stood in the same chain before, in the order of positions."""
        first: set[str] = set()
        again = []
        for chain, position, _ in self.jumps:
            if chain in first:
                again.append((chain, position))
            first.add(chain)
        return again


class Generation:
    """`encoded` is set for one that was made from a plan; `found` for one that was read from the kernel."""

    def __init__(self, tag: str, letter: str) -> None:
        self.tag = tag
        self.letter = letter
        self.name: str | None = None
        self.document: str | None = None
        self.seal: str = ""
        self.families: tuple[int, ...] = ()
        self.built: dict[int, build.Built] = {}
        self.found: dict[tuple[int, str], Table] = {}
        self.own_sets: list[str] = []
        self.sets = Sets(lambda suffix: f"{tag}_{letter}_{suffix}")

    def full(self, suffix: str) -> str:
        """Sets that both generations share bear no letter."""
        return f"{self.tag}_{suffix}" if suffix.startswith("UP") else f"{self.tag}_{self.letter}_{suffix}"

    def parts(self, family: int) -> set[tuple[str, str, int]]:
        """(kind, module, revision) of every match and target that the rules of a family need."""
        needed = {("match", "comment", 0), ("match", "set", 4)}
        for chains in self.built[family].values():
            for chain in chains.values():
                for rule in chain.rules:
                    needed |= {("match", match.module, match.revision) for match in rule.matches}
                    if rule.target.module:
                        needed.add(("target", rule.target.name, rule.target.revision))
        return needed

    def install(self, ipset: Ipset, other: "Generation | None") -> None:
        """Lay it beside what is there, inert. The sets exist. When it raises, some tables are done.

        Around the jumps of the other generation, not only before them: a packet that is being judged while the gate
        changes has passed the first jump as closed, and finds the other one's closed now.
        """
        sets = _Indices()
        changes = {
            (family, table): self._change(family, chains, sets, other.found.get((family, table)) if other else None)
            for family, built in self.built.items()
            for table, chains in built.items()
        }
        seal = sealed((key, self._canonical(key[0], change)) for key, change in changes.items())
        self._add_document(changes, seal + seal_of_sets(ipset, self._set_names()))
        for (family, table), change in changes.items():
            tables.commit(family, table, change)

    def _set_names(self) -> list[str]:
        return sorted({*self.sets.ports, *self.sets.networks})

    def _change(
        self, family: int, chains: Mapping[str, build.Chain], sets: "_Indices", beside: "Table | None"
    ) -> tables.Change:
        create = {
            self.full(suffix): [rule.entry(family, sets) for rule in chain.rules] for suffix, chain in chains.items()
        }
        jumps = {
            chain.built_in: self._jump(suffix).entry(family, sets) for suffix, chain in chains.items() if chain.built_in
        }
        last = {chain: position for chain, position, _ in beside.jumps} if beside else {}
        return tables.Change(create=create, jumps=jumps, jumps_after={c: p for c, p in last.items() if c in jumps})

    def _jump(self, suffix: str) -> XtRule:
        gate = parts.in_set(f"{self.tag}_{GATE}", negated=self.letter == "B")
        return XtRule(Header(), (gate,), parts.lead_to(self.full(suffix), goto=False))

    def _canonical(self, family: int, change: tables.Change) -> Iterator[tuple[str, list[bytes]]]:
        for chain, entries in change.create.items():
            yield chain, [blob.canonical(family, entry) for entry in entries]
        for built_in, entry in change.jumps.items():
            yield built_in, [blob.canonical(family, entry)]

    def _add_document(self, changes: dict[tuple[int, str], tables.Change], seal: str) -> None:
        packed = pack(self.document or "")
        texts = [
            f"name {self.name}",
            f"seal {seal}",
            *(packed[at : at + _CHUNK] for at in range(0, len(packed), _CHUNK)),
        ]
        rules = [XtRule(Header(), (parts.comment(text),), parts.RETURN) for text in texts]
        where = (4, _DOCUMENT_TABLE)
        change = changes.get(where, tables.Change())
        entries = [rule.entry(4, _Indices()) for rule in rules]
        changes[where] = change._replace(create={**change.create, self.full("DOC"): entries})

    def uninstall(self, other: "Generation | None") -> None:
        """Take out of every table what was found there, and what stands of the other one twice. It has to be inert."""
        for (family, table), found in self.found.items():
            jumps = [(chain, position) for chain, position, _ in found.jumps]
            if other is not None and (family, table) in other.found:
                jumps += other.found[family, table].repeated()
            tables.commit(family, table, tables.Change(remove=list(found.chains), jumps_away=jumps))

    def drift(self, ipset: Ipset) -> list[str]:
        """What differs from what was put in force, in words."""
        if self.document is None:
            return ["the intent stored with the rules is gone or damaged"]
        if not self.seal:
            return ["the rules carry no seal"]
        seal = sealed((key, _found_canonical(self.full("DOC"), table)) for key, table in self.found.items())
        try:
            seal += seal_of_sets(ipset, self.own_sets)
        except CaptureError as error:
            return [str(error)]
        return [] if seal == self.seal else ["the rules or sets are not those that were put in force"]

    def counters(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        for table in self.found.values():
            for chain, entries in table.chains.items():
                if chain != self.full("DOC"):
                    for entry in entries:
                        counted[entry.comment] = counted.get(entry.comment, 0) + entry.packets
        return counted

    def words(self) -> list[str]:
        return [
            f"{'ip6tables' if family == 6 else 'iptables'} {table} chains {', '.join(sorted(found.chains))}"
            for (family, table), found in self.found.items()
        ]


def laid_out(plan: Plan, document: str, name: str, letter: str) -> Generation:
    """A generation for `plan`, not yet installed. Pure."""
    generation = Generation(tag_of(name), letter)
    generation.name = name
    generation.document = document
    generation.families = plan.families
    for family in plan.families:
        generation.built[family] = build.build(plan, family, generation.full, generation.sets)
    return generation


def _found_canonical(document_chain: str, table: Table) -> Iterator[tuple[str, list[bytes]]]:
    for chain, entries in table.chains.items():
        if chain != document_chain:
            yield chain, [entry.canonical for entry in entries]
    for built_in, _, entry in table.jumps:
        yield built_in, [entry.canonical]


class _Indices:
    """An ipset's index by its name, asked of the kernel once."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def __call__(self, name: str) -> int:
        if name not in self._known:
            index = peek.set_index(name)
            if index is None:
                raise CaptureError(f"ipset {name} vanished while rules that need it were made")
            self._known[name] = index
        return self._known[name]
