"""What became of a session's tests, as a value that goes through a file: `pytest --outcome FILE` writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """Ids of tests. `failing` holds what failed and what could not be set up or torn down; of the last, a test may
    stand in `passed`, too."""

    passed: Sequence[str] = ()
    skipped: Sequence[str] = ()
    failing: Sequence[str] = ()
    left: Sequence[str] = ()
    """What the session made and did not remove."""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Outcome:
        return cls(**{name: tuple(ids) for name, ids in json.loads(path.read_text()).items()})


def of(stats: Mapping[str, Sequence[Any]], left: Sequence[str]) -> Outcome:
    """From the terminal reporter's lists of reports, each test once. What was expected to fail counts as passed."""

    def ids(*words: str) -> tuple[str, ...]:
        reports = [report for word in words for report in stats.get(word, ())]
        return tuple(dict.fromkeys(report.nodeid for report in reports if report.nodeid))

    return Outcome(ids("passed", "xfailed", "xpassed"), ids("skipped"), ids("failed", "error"), tuple(left))
