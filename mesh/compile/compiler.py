"""Documents -> Policy, Service by Service: what a change of documents does not touch stays the same object."""

from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TypeVar

from mesh.compile.claims import ClaimTable, Owner
from mesh.compile.clusters import ClusterList
from mesh.compile.contribution import NOTHING, Claim, Contribution, Ports, contribution
from mesh.compile.digest import of_all
from mesh.compile.home import Home
from mesh.compile.patches import NO_PATCHES, Patches
from mesh.compile.ports import Port
from mesh.compile.services import ports_of, without_service
from mesh.compile.stock import Change, Stock
from mesh.compile.tables import Tables, differing, tables
from mesh.documents import Documents
from mesh.yaml.problems import Problem, Problems
from proxy.core.policy.policy import Key, Policy, ServiceName

K = TypeVar("K")


_ANYWHERE = Home()


@dataclass(frozen=True, slots=True)
class Compiled:
    policy: Policy
    changed: frozenset[ServiceName]
    """The Services whose part of the policy was compiled anew; all others' is as it was, object for object."""


def compiled(documents: Documents, problems: Problems, namespace: str | None = None) -> Policy:
    """Deterministic: equal documents, in whatever order, give equal policies. Notes what has no effect as warnings, and
    as errors references that can't be meant. namespace: the workload's own, if known."""
    return Compiler(Home(namespace)).compile(documents, problems).policy


class Compiler:
    """Keeps what it compiled. After an exception it is of no use any more: take a new one."""

    def __init__(self, home: Home = _ANYWHERE) -> None:
        self._home = home
        self._stock = Stock()
        self._tables = Tables()
        self._patches = NO_PATCHES
        self._ports = Ports()
        self._own: dict[ServiceName, _Own] = {}
        self._contributions: dict[Owner, Contribution] = {}
        self._outbound = ClaimTable(lambda one: one.outbound, self._contributions, join=False)
        self._inbound = ClaimTable(lambda one: one.inbound, self._contributions, join=True)
        self._clusters = ClusterList()
        self._warned: set[Owner] = set()

    def compile(self, documents: Documents, problems: Problems, patches: Patches = NO_PATCHES) -> Compiled:
        """The policy that these documents and patches make, whatever was compiled before."""
        change = self._stock.take(documents)
        change.others |= patches != self._patches
        self._patches = patches
        touched = self._touched(change)
        for name in touched:
            self._prepare(name)
        touched |= {user for name in touched if name for user in self._tables.dependents.get(name, ())}
        for name in touched:
            self._contribute(name)
        for problem in self._warnings(documents):
            problems.note(problem)
        policy = Policy(
            outbound=self._outbound.frozen(),
            inbound=self._inbound.frozen(),
            clusters=self._clusters.all(),
            digest=of_all(self._outbound.digest, self._inbound.digest, self._clusters.digest),
            home=self._home.locality,
        )
        return Compiled(policy, frozenset(name for name in touched if name is not None))

    def _touched(self, change: Change) -> set[Owner]:
        touched: set[Owner] = {*change.services, *change.sliced}
        if change.services or change.others:
            documents = self._stock.others()
            before, self._tables = self._tables, self._made_tables(documents)
            touched |= differing(before, self._tables)
        if change.pods:
            touched |= self._tables.with_subsets(change.pods)
        return touched

    def _made_tables(self, documents: Documents) -> Tables:
        return tables(documents, self._stock.catalogue, self._patches, self._home.namespace)

    def _prepare(self, name: Owner) -> None:
        """The ports of a Service, which other Services' routes may refer to."""
        if name is None:
            return
        before = self._own.pop(name, _NONE)
        document = self._stock.catalogue.documents.get(name)
        problems = Problems()
        ports: list[Port] = []
        if document is not None:
            traffic = self._tables.traffic
            ports = ports_of(
                document,
                self._stock.slices(name),
                lambda port: traffic.to(name, port),
                problems,
                home=self._home,
                pods=self._stock.pods,
            )
            self._own[name] = _Own(ports, tuple(problems))
        self._ports.exchange(before.ports, ports)

    def _contribute(self, name: Owner) -> None:
        before = self._contributions.pop(name, NOTHING)
        made = self._made(name)
        made = replace(
            made, outbound=_kept(before.outbound, made.outbound), inbound=_kept(before.inbound, made.inbound)
        )
        if made != NOTHING:
            self._contributions[name] = made
        (self._warned.add if made.warnings else self._warned.discard)(name)
        if name is not None:
            self._clusters.change(before.clusters, made.clusters)
            self._outbound.change(name, before)
            self._inbound.change(name, before)

    def _made(self, name: Owner) -> Contribution:
        problems = Problems()
        document = None if name is None else self._stock.catalogue.documents.get(name)
        if document is None or name is None:
            without_service(name, self._stock.slices(name), problems)
            return Contribution(warnings=tuple(problems))
        own = self._own[name]
        for problem in own.problems:
            problems.note(problem)
        return contribution(document, own.ports, self._ports, self._tables.routes, problems)

    def _warnings(self, documents: Documents) -> list[Problem]:
        """In the order of files and lines, however the compiler came to them."""
        found = [
            *self._tables.problems,
            *chain.from_iterable(self._contributions[name].warnings for name in self._warned),
            *chain.from_iterable(self._outbound.warnings.values()),
        ]
        order = {file: number for number, file in enumerate(documents.names())} if found else {}
        return sorted(found, key=lambda one: (order.get(one.place.file, 0), one.place.line, one.message))


@dataclass(frozen=True, slots=True)
class _Own:
    ports: list[Port] = field(default_factory=list)
    problems: tuple[Problem, ...] = ()


_NONE = _Own()


def _kept(before: dict[Key, Claim], after: dict[Key, Claim]) -> dict[Key, Claim]:
    """After's claims; those that are as they were are the objects from before."""
    if not before:
        return after
    return {key: old if (old := before.get(key)) == claim else claim for key, claim in after.items()}
