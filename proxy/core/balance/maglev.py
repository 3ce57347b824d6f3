"""Maglev's table (Eisenbud et al., NSDI 2016, section 3.4): endpoints fill it in turn, each by its own permutation.

Every endpoint gets almost exactly its share of the places, and when one comes or goes few places change hands between
the others."""

from collections.abc import Sequence

from proxy.core.balance.hashed import HashTable
from proxy.core.dice import hash_of, mix

DEFAULT_SIZE = 65537
"""A prime, as any size must be: then every skip visits every place."""


def maglev(names: Sequence[bytes], weights: Sequence[int], size: int = DEFAULT_SIZE) -> HashTable:
    """names: of the endpoints. Weights are obeyed by turns: an endpoint of half the heaviest's weight takes a place in
    every other round."""
    heaviest = max(weights, default=0)
    if not heaviest:
        return HashTable(())
    places = [-1] * size
    offsets, skips = [], []
    for name in names:
        base = hash_of(name)
        offsets.append(base % size)
        skips.append(mix(base ^ 0x5851F42D4C957F2D) % (size - 1) + 1)
    credit = [0] * len(names)
    filled = 0
    while True:
        for index, weight in enumerate(weights):
            credit[index] += weight
            if credit[index] < heaviest:
                continue
            credit[index] -= heaviest
            place, skip = offsets[index], skips[index]
            while places[place] >= 0:
                place = (place + skip) % size
            places[place] = index
            offsets[index] = (place + skip) % size
            filled += 1
            if filled == size:
                return HashTable(tuple(places))
