"""Consistent hashes: the endpoint that a key leads to, and the one after it.

`ring` and `maglev` make the tables; the engine looks requests up in them (cext/engine/balance/pick.c)."""

from bisect import bisect_left
from dataclasses import dataclass

from proxy.core.balance.excluded import Excluded
from proxy.core.balance.of_two import DRAWS, Admits
from proxy.core.dice import STEP

STEPS = 64 * DRAWS


@dataclass(frozen=True, slots=True)
class HashTable:
    """places: indices of endpoints. points: of a ring, ascending, where each place begins; empty: a key belongs to the
    place `hash % size`."""

    places: tuple[int, ...]
    points: tuple[int, ...] = ()

    def place(self, key_hash: int, step: int = 0) -> int:
        """The endpoint that the key leads to; step: how many before it are out of the question."""
        size = len(self.places)
        if self.points:
            return self.places[(bisect_left(self.points, key_hash) + step) % size]
        return self.places[(key_hash + step * STEP & (1 << 64) - 1) % size]


def pick_hashed(table: HashTable, key_hash: int, excluded: Excluded, admits: Admits) -> int | None:
    """None: nothing that admits a request has been found."""
    for step in range(min(len(table.places), STEPS)):
        index = table.place(key_hash, step)
        if index not in excluded and admits(index):
            return index
    return None
