"""Randomness as an argument: numbers that come from outside, or that follow from a seed.

The seeded ones are the engine's (cext/engine/balance/dice.h): equal seeds give equal numbers in both."""

from collections.abc import Callable

Random = Callable[[], float]
"""Each call gives a number from 0 up to but not including 1."""

_BITS = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


class Dice:
    """A sequence of 64-bit numbers (splitmix64)."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _BITS

    def next(self) -> int:
        self._state = (self._state + STEP) & _BITS
        return mix(self._state)

    def below(self, bound: int) -> int:
        """One of 0 to bound - 1."""
        return self.next() * bound >> 64


def mix(value: int) -> int:
    """Spreads each bit of the value over all of the result."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _BITS
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _BITS
    return value ^ value >> 31


def hash_of(data: bytes) -> int:
    """64 bits of FNV-1a, mixed: what consistent hashes look endpoints and callers up by."""
    found = 0xCBF29CE484222325
    for byte in data:
        found = (found ^ byte) * 0x100000001B3 & _BITS
    return mix(found)
