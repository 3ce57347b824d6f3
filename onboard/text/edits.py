"""Changes to a text, all against its first state: what is not named by an edit comes out as it went in."""

from collections.abc import Iterable
from typing import NamedTuple


class Edit(NamedTuple):
    """`text` in the place of what stands from `start` up to but not including `end`."""

    start: int
    end: int
    text: str


def insertion(at: int, text: str) -> Edit:
    return Edit(at, at, text)


def removal(start: int, end: int) -> Edit:
    return Edit(start, end, "")


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Edits of one place come out in the order given. Raises ValueError when two of them overlap."""
    parts, at = [], 0
    for edit in sorted(edits, key=lambda one: (one.start, one.end)):
        if edit.start < at:
            raise ValueError(f"edits overlap at {edit.start}")
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def line_end(text: str, index: int) -> int:
    """Index behind the newline that ends the line of `index`; the text's end where it has none."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def newline(text: str) -> str:
    """What ends the lines of this text."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"
