"""What a fault is, and what is noted when it was injected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.lab import Lab


@dataclass(frozen=True, slots=True)
class Seen:
    """text: what the user sees, in words. recovered_s: from the fault's end (or from the fault itself, where it has
    none) until new connections work as before; None: they never stopped working."""

    text: str
    recovered_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """inject: injects it, judges the promise, and says what was seen. Raises AssertionError where the promise does not
    hold."""

    name: str
    area: str
    promise: str
    inject: Callable[[Lab], Seen]
    short: bool
    """Whether `make test` injects it too."""


FAULTS: dict[str, Fault] = {}


def fault(area: str, promise: str, *, short: bool = False) -> Callable[[Callable[[Lab], Seen]], Callable[[Lab], Seen]]:
    """Put a function into the list; its docstring's first line is the fault's name for readers."""

    def register(inject: Callable[[Lab], Seen]) -> Callable[[Lab], Seen]:
        title = (inject.__doc__ or "").strip().splitlines()[0].rstrip(".")
        assert title, inject
        FAULTS[inject.__name__] = Fault(title, area, promise, inject, short)
        return inject

    return register
