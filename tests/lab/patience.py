"""One factor for every limit in time: a CPU that is emulated is ten times slower, and no less right."""

from __future__ import annotations

import os

FACTOR = float(os.environ.get("TIDEGATE_PATIENCE", "1"))


def patient(seconds: float) -> float:
    """A time limit, in the unit it came in, times TIDEGATE_PATIENCE (1 where that isn't set)."""
    return seconds * FACTOR
