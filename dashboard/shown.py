"""What a page gets: few rows of many, and no text that would show as something else than it is."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from proxy.core.report.printable import printable

MOST = 200
"""Rows of a table that a page gets; of more it is told how many, and its filter finds them."""
LONGEST = 2048
"""Characters of one text."""


def plain(value: Any) -> Any:
    """The same with every text printable. JSON keys are ours or names of configuration, and are treated alike."""
    if isinstance(value, str):
        return printable(value if len(value) <= LONGEST else value[:LONGEST] + "…")
    if isinstance(value, Mapping):
        return {printable(str(key)): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def some(rows: Iterable[Mapping[str, Any]], text: str, keys: Sequence[str]) -> dict[str, Any]:
    """Those that have the text in one of these fields; `left_out` counts what is too many."""
    found = [row for row in rows if not text or any(text in str(row.get(key, "")) for key in keys)]
    return {"rows": found[:MOST], "left_out": max(0, len(found) - MOST)}
