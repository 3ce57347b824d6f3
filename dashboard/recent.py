"""The last requests and connections that have ended, of all proxies: a ring, and what a page is shown of it."""

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from proxy.core.report.wanted import Wanted, is_named

KEPT = 1000
AT_ONCE = 200
"""Rows that a page gets in one answer; of more, the newest."""


class Shown(NamedTuple):
    """last: the number of the newest that was looked at. missed: how many are not among rows because the ring has lost
    them, or because they are too many at once."""

    last: int
    missed: int
    rows: list[dict[str, Any]]


class Recent:
    """Filled by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.last = 0
        """Number of the newest; the first has 1."""

    def add(self, proxy: str, told: dict[str, Any]) -> None:
        with self._lock:
            self.last += 1
            self._rows.append({**told, "proxy": proxy, "number": self.last})

    def one(self, number: int) -> dict[str, Any] | None:
        return next((row for row in self._all() if row["number"] == number), None)

    def _all(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._rows)

    def since(self, number: int, wanted: Wanted) -> Shown:
        """Newest last."""
        rows = self._all()
        newer = [row for row in rows if row["number"] > number]
        over = (rows[0]["number"] - number - 1) if rows and number else 0
        found = [row for row in newer if passes(row, wanted)]
        return Shown(self.last, max(0, over) + max(0, len(found) - AT_ONCE), found[-AT_ONCE:])


def passes(told: Mapping[str, Any], wanted: Wanted) -> bool:
    """The filters of `tap`, on what it has told."""
    source = str(told.get("source") or told.get("downstream") or "")
    if wanted.source and source.rpartition(":")[0].strip("[]") != wanted.source:
        return False
    if "database" in told:
        return (
            not (wanted.statuses or wanted.path)
            and wanted.route in ("", f"{told['database']} {told['kind']}")
            and is_named(wanted.service, told["service"])
        )
    if "method" not in told:
        return not (wanted.service or wanted.route or wanted.statuses or wanted.path)
    return (
        wanted.takes_status(told["status"])
        and is_named(wanted.service, told["service"])
        and is_named(wanted.route, told["route"])
        and told["path"].startswith(wanted.path)
    )
