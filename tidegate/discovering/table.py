"""The table of `tidegate discover`: made anew in place while it runs on a terminal, once at the end elsewhere."""

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from proxy.core.report.printable import printable
from tidegate.supervise.columns import duration, size

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from intercept.discover.looking import Found

MOST = 40
"""Rows that a live table gets; the one at the end has all of them."""
_COLUMNS = ("process", "", "other end", "speaks", "calls", "open", "failed", "sent", "received", "lasts", "captured")
_RIGHT = frozenset(("calls", "open", "failed", "sent", "received", "lasts"))
_NARROW, _MIDDLE = 100, 130
_LEFT_OUT = {_NARROW: {3, 5, 9}, _MIDDLE: {9}}


class LiveTable:
    """A context manager: on a terminal it owns the screen's last lines while it lasts, elsewhere it shows nothing."""

    def __init__(self, out: TextIO, width: int, height: int) -> None:
        self._out = out
        self._width = width
        self._most = max(1, min(MOST, height - 4))
        self._live: Live | None = None

    def __enter__(self) -> "LiveTable":
        if self._out.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._out, width=self._width, highlight=False, emoji=False)
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, value, where)

    @property
    def is_shown(self) -> bool:
        return self._live is not None

    def show(self, found: "Sequence[Found]") -> None:
        if self._live is not None:
            self._live.update(table(found, self._width, self._most), refresh=True)


def table(found: "Sequence[Found]", width: int, most: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    left_out = next((columns for limit, columns in _LEFT_OUT.items() if width < limit), set())
    kept = [number for number in range(len(_COLUMNS)) if number not in left_out]
    made = Table(box=None, padding=(0, 1, 0, 0), expand=False)
    lines = [cells(one, short=width < _MIDDLE) for one in found[:most]]
    for number in kept:
        name = _COLUMNS[number]
        widest = max((len(line[number]) for line in lines), default=0)
        # Names may be cut where the terminal is narrow, numbers may not.
        least = widest if name in _RIGHT or name == "" else None
        made.add_column(
            name, justify="right" if name in _RIGHT else "left", no_wrap=True, overflow="ellipsis", min_width=least
        )
    for line, one in zip(lines, found, strict=False):
        made.add_row(*(Text(line[number], style="red" if number == 6 and one.row.failed else "") for number in kept))
    notes = [f"{len(found) - most} more rows; the table at the end has all of them"] if len(found) > most else []
    if any(not one.in_force for one in found):
        notes.append("captured: as `init` without flags would do")
    made.caption = "; ".join(notes) or None
    return made


def plain(found: "Sequence[Found]") -> list[str]:
    """Nothing is cut or left out."""
    if not found:
        return ["no calls were seen"]
    rows = [list(_COLUMNS), *(cells(one) for one in found)]
    widths = [max(len(line[number]) for line in rows) for number in range(len(_COLUMNS))]
    return [
        "  ".join(
            f"{cell:>{width}}" if name in _RIGHT else f"{cell:<{width}}"
            for cell, width, name in zip(line, widths, _COLUMNS, strict=True)
        ).rstrip()
        for line in rows
    ]


def cells(one: "Found", *, short: bool = False) -> list[str]:
    """A cell a column. short: whether it is captured, without the rule. Names come from processes and name servers:
    they are not believed."""
    row, key = one.row, one.row.key
    verdict = {"capture": "yes", "direct": "no"}.get(one.decision.decision, one.decision.decision)
    captured = verdict if short else f"{'' if one.in_force else 'would be: '}{verdict} ({one.decision.rule})"
    found = [
        f"{key.name or '?'}{f' ({len(row.pids)} processes)' if len(row.pids) > 1 else ''}",
        "->" if key.outbound else "<-",
        f"{_other_end(one)}{' (itself)' if row.is_self else ''}",
        f"{key.protocol}{f' {row.guess}' if row.guess else ''}",
        str(row.calls),
        f"{row.open}{' long' if row.long_lived else ''}",
        str(row.failed),
        "-" if row.sent is None else size(row.sent),
        "-" if row.received is None else size(row.received),
        _lasts(one),
        captured,
    ]
    return [printable(cell) for cell in found]


def _other_end(one: "Found") -> str:
    from intercept.discover.looking import text

    key = one.row.key
    address = text(key.destination)
    if key.peer is None:
        return f"{one.name}:{key.destination[1]} ({address})" if one.name else address
    return f"{one.name or key.peer} to :{key.destination[1]}"


def _lasts(one: "Found") -> str:
    median_s, longest_s = one.row.median_s, one.row.longest_s
    if median_s is None:
        return "-" if longest_s is None else f"{duration(longest_s * 1000)}+"
    return duration(median_s * 1000)
