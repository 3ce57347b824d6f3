"""The table of `tidegate top`: made anew in place on a terminal, as plain lines elsewhere."""

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from proxy.core.report.printable import printable
from proxy.core.report.rates import Rate

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

MOST = 40
"""Rows that a terminal gets; plain lines are never left out."""
_COLUMNS = ("", "service", "route", "endpoint", "lane", "/s", "ok", "p50", "p95", "p99", "sent/s", "recv/s")
_RIGHT = frozenset(_COLUMNS[5:])
_NARROW = 100
"""Columns of a terminal below which routes and p95 are left out."""


class TopTable:
    """A context manager: on a terminal it owns the screen's last lines while it lasts."""

    def __init__(self, out: TextIO, width: int, *, several: bool) -> None:
        self._out = out
        self._width = width
        self._several = several
        self._live: Live | None = None

    def __enter__(self) -> "TopTable":
        if self._out.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(file=self._out, width=self._width, highlight=False, emoji=False), auto_refresh=False
            )
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, value, where)

    def show(self, rates: Sequence[Rate]) -> None:
        if self._live is None:
            print("\n".join(plain(rates, several=self._several)), file=self._out, flush=True)
        else:
            self._live.update(self.table(rates), refresh=True)

    def table(self, rates: Sequence[Rate]) -> "Table":
        from rich.table import Table
        from rich.text import Text

        left_out = {2, 8} if self._width < _NARROW else set()
        kept = [number for number in range(len(_COLUMNS)) if number not in left_out]
        cells = [row(one, several=self._several) for one in rates[:MOST]]
        table = Table(box=None, padding=(0, 1, 0, 0), expand=False)
        for number in kept:
            name = _COLUMNS[number]
            widest = max((len(line[number]) for line in cells), default=0)
            # Names may be cut where the terminal is narrow, numbers may not.
            least = widest if name in _RIGHT or number == 0 else None
            table.add_column(
                name, justify="right" if name in _RIGHT else "left", no_wrap=True, overflow="ellipsis", min_width=least
            )
        for line, one in zip(cells, rates, strict=False):
            failing = one.success is not None and one.success < 1
            table.add_row(*(Text(line[number], style="red" if failing and number == 6 else "") for number in kept))
        if len(rates) > MOST:
            table.caption = f"{len(rates) - MOST} more rows; --service shows those of one"
        return table


def row(one: Rate, *, several: bool) -> list[str]:
    """A cell a column. Names come from configuration and addresses from the kernel, but nobody is believed."""
    arrow = "->" if one.direction == "outbound" else "<-"
    cells = [
        f"{one.proxy} {arrow}" if several else arrow,
        one.service,
        one.route,
        one.endpoint or "-",
        one.lane,
        f"{one.per_s:.1f}",
        "-" if one.success is None else f"{_floored(one.success):.1f}%",
        *(_time(value) for value in (one.p50_ms, one.p95_ms, one.p99_ms)),
        _bytes(one.bytes_sent_per_s),
        _bytes(one.bytes_received_per_s),
    ]
    return [printable(cell) for cell in cells]


def plain(rates: Sequence[Rate], *, several: bool) -> list[str]:
    if not rates:
        return ["nothing has gone through yet"]
    rows = [list(_COLUMNS), *(row(one, several=several) for one in rates)]
    widths = [max(len(line[number]) for line in rows) for number in range(len(_COLUMNS))]
    return [
        " ".join(
            f"{cell:>{width}}" if name in _RIGHT else f"{cell:<{width}}"
            for cell, width, name in zip(line, widths, _COLUMNS, strict=True)
        ).rstrip()
        for line in rows
    ]


def _floored(success: float) -> float:
    """In percent; what is not whole never shows as 100.0."""
    return min(100 * success, 99.9) if success < 1 else 100.0


def _time(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.1f}ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f}s"


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
