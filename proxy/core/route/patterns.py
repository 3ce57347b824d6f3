"""Many regular expressions against one text, at about the price of one."""

from collections.abc import Sequence
from typing import Any

from proxy.core.route import regex

FEW = 4
"""So few expressions are tried one by one."""
_WITNESS = r"(?s)\C*"
"""Matches everything. Where RE2 gives up for lack of memory, it finds nothing, and so not this one either."""
_MEMORY = 64 << 20


class Patterns:
    """Immutable once made."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises regex.BadPattern."""
        self._patterns = tuple(dict.fromkeys(patterns))
        for pattern in self._patterns:
            regex.compiled(pattern)
        self._set = _compiled_set(self._patterns) if len(self._patterns) > FEW else None

    def matching(self, text: str) -> list[str]:
        """Those that match the whole text, in any order."""
        if self._set is not None:
            found = self._set.Match(text.encode("utf-8", "surrogateescape"))
            if len(self._patterns) in found:
                return [self._patterns[index] for index in found if index < len(self._patterns)]
        return [pattern for pattern in self._patterns if regex.matches(pattern, text)]


def _compiled_set(patterns: tuple[str, ...]) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    made = re2.Set.FullMatchSet(options)
    for pattern in (*patterns, _WITNESS):
        made.Add(pattern)
    made.Compile()
    return made
