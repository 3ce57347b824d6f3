"""Regular expressions in documents: judged by RE2, which is what matches them later."""

from collections.abc import Iterator

from proxy.core.route.regex import BadPattern, compiled


def regular_expression(line: int, field: str, text: str) -> Iterator[tuple[int, str]]:
    """A mistake where RE2 does not take the expression."""
    try:
        compiled(text)
    except BadPattern as wrong:
        yield line, f"{field}: {text[:80]!r} is not valid: a regular expression of RE2 ({wrong})"
