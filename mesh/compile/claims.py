"""Which Service has which address, in one direction: every claim is remembered, and the oldest Service's holds."""

from collections.abc import Callable
from types import MappingProxyType

from mesh.compile.contribution import NOTHING, Claim, Contribution, joined
from mesh.compile.digest import Digest
from mesh.yaml.problems import Problem, Severity
from proxy.core.addresses import Address
from proxy.core.policy.policy import Claims, Destination, Key, ServiceName

Of = Callable[[Contribution], dict[Key, Claim]]
Owner = ServiceName | None
"""None: EndpointSlices that name no Service. They claim nothing."""


class ClaimTable:
    """Addresses of one direction -> the destination that holds. Changes one Service at a time."""

    def __init__(self, of: Of, contributions: dict[Owner, Contribution], *, join: bool) -> None:
        """of: picks from a contribution the claims of this table's direction. contributions: shared with the compiler,
        which puts a new one there before it calls `change`. join: the claimants' destinations are joined."""
        self.digest = Digest()
        self.warnings: dict[Key, list[Problem]] = {}
        """By address, where several Services claim it."""
        self._of = of
        self._contributions = contributions
        self._join = join
        self._found: dict[Key, Destination] = {}
        self._frozen: Claims | None = None
        """Of all that has been found, until it changes."""
        self._rivals: dict[Key, set[ServiceName]] = {}
        """All claimants of the addresses that have more than one."""

    def change(self, service: ServiceName, before: Contribution) -> None:
        """Take in a Service's new contribution. before: its former one."""
        old, new = self._of(before), self._of(self._contributions.get(service, NOTHING))
        for key, claim in new.items():
            holder = self._found.get(key)
            if key in self._rivals or (holder is not None and holder.service != service):
                self._settle(key, self._claimants(key) | {service})
            else:
                self._put(key, claim.destination)
        for key in old.keys() - new.keys():
            self._settle(key, self._claimants(key) - {service})

    def frozen(self) -> Claims:
        if self._frozen is None:
            self._frozen = MappingProxyType(self._found.copy())
        return self._frozen

    def _claimants(self, key: Key) -> set[ServiceName]:
        holder = self._found.get(key)
        return self._rivals.get(key) or (set() if holder is None else {holder.service})

    def _settle(self, key: Key, claimants: set[ServiceName]) -> None:
        """Find the holder of an address among its claimants."""
        self._rivals.pop(key, None)
        self.warnings.pop(key, None)
        if len(claimants) > 1:
            self._rivals[key] = claimants
        ranked = sorted((self._contributions[one] for one in claimants), key=lambda one: one.rank)
        if not ranked:
            self._put(key, None)
            return
        first, *others = ranked
        holding = self._of(first)[key].destination
        for other in others if self._join else ():
            holding = joined(holding, self._of(other)[key].destination)
        self._put(key, holding)
        told = [_told(key, holding, other) for other in others if self._of(other)[key].virtual]
        if told:
            self.warnings[key] = told

    def _put(self, key: Key, destination: Destination | None) -> None:
        before = self._found.get(key)
        if before is destination:
            return
        self._frozen = None
        if before is not None:
            self.digest.take_out(key, before)
        if destination is None:
            del self._found[key]
        else:
            self.digest.put_in(key, destination)
            self._found[key] = destination


def _told(key: Key, holding: Destination, other: Contribution) -> Problem:
    what = f"{other.document}: {Address(*key)} is claimed by Service {holding.service} already"
    return Problem(other.place, Severity.WARNING, what)
