"""Randomness as an argument."""

from collections.abc import Callable

Random = Callable[[], float]
"""Each call gives a number from 0 up to but not including 1."""
