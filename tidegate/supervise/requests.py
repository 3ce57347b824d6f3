"""The requests of a run: as many as a report can hold, and what a person is told of them at the end."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tidegate.supervise.columns import INDENT, cut, duration, percentile, plural

MOST = 100_000
"""That are kept for the report; more are only counted."""
ROWS = 20
_ARROWS = {"outbound": "->", "inbound": "<-"}
_WHOM, _STATUS, _COUNT, _TIME = 40, 14, 8, 7


@dataclass(slots=True)
class Requests:
    kept: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0

    def add(self, request: dict[str, Any]) -> None:
        if len(self.kept) < MOST:
            self.kept.append(request)
        else:
            self.left_out += 1

    def __add__(self, later: "Requests") -> "Requests":
        both = self.kept + later.kept
        return Requests(both[:MOST], self.left_out + later.left_out + max(0, len(both) - MOST))


def table(requests: Iterable[dict[str, Any]], left_out: int) -> list[str]:
    """Lines of 80 columns, by where requests went and how they were answered, most first; none without requests."""
    groups: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for one in requests:
        groups[_whom(one), _answer(one)].append(one["duration_ms"])
    if not groups:
        return []
    rows = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    lines = ["", _row(INDENT + "requests to", "status", ("count", "p50", "p99"))]
    for (whom, answer), durations in rows[:ROWS]:
        numbers = (str(len(durations)), duration(percentile(durations, 50)), duration(percentile(durations, 99)))
        lines.append(_row(cut(whom, _WHOM), cut(answer, _STATUS), numbers))
    if len(rows) > ROWS:
        lines.append(f"… and {plural(len(rows) - ROWS, 'row')} more: --report FILE has all requests")
    if left_out:
        lines.append(f"… and {plural(left_out, 'request')} more that the report does not hold")
    return lines


def _whom(one: dict[str, Any]) -> str:
    named = next((one[key] for key in ("route", "service", "authority") if one[key] != "-"), one["upstream"])
    return f"{_ARROWS[one['direction']]} {named}"


def _answer(one: dict[str, Any]) -> str:
    status = str(one["status"] or "no answer")
    return status if one["flags"] == "-" else f"{status} {one['flags']}"


def _row(whom: str, answer: str, numbers: tuple[str, ...]) -> str:
    widths = (_COUNT, _TIME, _TIME)
    cells = (f"{text:>{width}}" for text, width in zip(numbers, widths, strict=True))
    return " ".join([f"{whom:<{_WHOM}}", f"{answer:<{_STATUS}}", *cells]).rstrip()
