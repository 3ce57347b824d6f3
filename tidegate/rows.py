"""Rows of a title and a sentence, for a person: coloured and wrapped on a terminal, a line each elsewhere."""

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO


class Row(NamedTuple):
    """tone: good, bad, doubtful or plain; what it means stands in the text too, for those who see no colours."""

    title: str
    text: str
    tone: str = "plain"


_STYLES = {"good": "green", "bad": "bold red", "doubtful": "yellow", "plain": ""}


def show(rows: Sequence[Row], to: TextIO | None = None) -> None:
    """Nothing is cut: on a terminal long sentences are wrapped below their beginning, elsewhere lines stay whole.

    rich is imported for terminals only: it takes longer than most of our commands do.
    """
    out = sys.stdout if to is None else to
    if not out.isatty():
        print("\n".join(plain(rows)), file=out)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for title, row in _titled(rows):
        # Text, not markup: an IPv6 address in brackets is none.
        table.add_row(title, Text(row.text, style=_STYLES[row.tone]))
    Console(file=out, highlight=False, emoji=False).print(table)


def plain(rows: Sequence[Row]) -> list[str]:
    width = max((len(row.title) for row in rows), default=0)
    return [f"{row.title:<{width}}  {row.text}" for row in rows]


def _titled(rows: Sequence[Row]) -> Iterable[tuple[str, Row]]:
    """Each row with its title, which is left out where the row before has the same."""
    before = ""
    for row in rows:
        yield ("" if row.title == before else row.title), row
        before = row.title
