"""Numbers and names as cells of a table that fits 80 columns."""

import math

WIDTH = 80
INDENT = " " * 3


def percentile(values: list[float], percent: int) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def size(count: float) -> str:
    """At most 8 characters below an exbibyte."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1000 or (unit == "B" and count < 1024):
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.0f} PiB"


def duration(milliseconds: float) -> str:
    """At most 6 characters below a hundred days."""
    if milliseconds < 10:
        return f"{milliseconds:.1f}ms"
    if milliseconds < 9_999:
        return f"{milliseconds:.0f}ms"
    seconds = milliseconds / 1000
    if seconds < 600:
        return f"{seconds:.1f}s"
    minutes = seconds / 60
    return f"{minutes:.0f}min" if minutes < 600 else f"{minutes / 60:.0f}h"


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
