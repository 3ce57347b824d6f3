"""What came of a file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Changed:
    """workloads: those that were changed. notes: what was left alone, or deserves a look, a line each."""

    text: str
    workloads: tuple[str, ...]
    notes: tuple[str, ...]
