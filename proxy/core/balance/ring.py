"""Ring hash: each endpoint has points on a ring, as many as its weight says; a key belongs to the next point."""

from collections.abc import Sequence

from proxy.core.balance.hashed import HashTable
from proxy.core.dice import hash_of, mix

MAX_SIZE = 1 << 23


def ring(names: Sequence[bytes], weights: Sequence[int], minimum_size: int = 1024) -> HashTable:
    """names: of the endpoints; what a name's points are depends on it alone, so an endpoint that comes or goes moves
    the keys of its own points and no others. The lightest endpoint has at least one point, and the ring at least
    `minimum_size`, as far as MAX_SIZE allows."""
    total = sum(weights)
    if not total:
        return HashTable(())
    lightest = min(weight for weight in weights if weight)
    size = min(MAX_SIZE, max(minimum_size, -(-total // lightest)))
    found = []
    for index, (name, weight) in enumerate(zip(names, weights, strict=True)):
        base = hash_of(name)
        found += [(mix(base + replica & (1 << 64) - 1), index) for replica in range(-(-size * weight // total))]
    found.sort()
    return HashTable(tuple(index for _, index in found), tuple(point for point, _ in found))
