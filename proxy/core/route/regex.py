"""Regular expressions of routes: RE2's, matched against the whole text, in time that grows with the text alone."""

from functools import lru_cache
from typing import Any

MOST_PATTERNS = 10_000
_MEMORY = 1 << 20


class BadPattern(ValueError):
    """RE2 does not take the expression; the message says why."""


def matches(pattern: str, text: str) -> bool:
    """Raises BadPattern. text: as `target` has it; bytes that are no UTF-8 match nothing but \\C."""
    return compiled(pattern).fullmatch(text.encode("utf-8", "surrogateescape")) is not None


@lru_cache(MOST_PATTERNS)
def compiled(pattern: str) -> Any:
    """Imported on first use: most proxies have no regular expression. Raises BadPattern."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as wrong:
        reason = wrong.args[0] if wrong.args else "unknown"
        raise BadPattern(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
