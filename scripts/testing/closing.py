"""What a whole run comes to. Pure: outcomes of its steps in, closing lines and an exit code out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.lab.outcome import Outcome

MOST_RERUNS = 2
"""So many failures may be chance; they run once more and both results are shown. More of them fail the run at once."""


@dataclass(frozen=True, slots=True)
class Step:
    """One pytest session: its exit code (0 all passed, 1 some failed, else pytest's own trouble), and its tests."""

    code: int
    outcome: Outcome

    @property
    def in_trouble(self) -> bool:
        """Something is wrong that no failing test accounts for, and that no rerun can mend."""
        return bool(self.outcome.left) or self.code not in (0, 1) or (self.code == 1 and not self.outcome.failing)


def to_run_again(steps: Sequence[Step]) -> list[str]:
    """The tests that get a second run; empty when nothing failed, or when a second run would change nothing."""
    failing = _failing(steps)
    return [] if len(failing) > MOST_RERUNS or any(step.in_trouble for step in steps) else failing


def close(steps: Sequence[Step], rerun: Step | None, seconds: float) -> tuple[list[str], int]:
    """The lines that end the run, the last of them like pytest's own closing line, and the run's exit code."""
    first = _failing(steps)
    again = rerun.outcome if rerun else Outcome()
    mended = [nodeid for nodeid in first if nodeid in again.passed and nodeid not in again.failing]
    failed = [nodeid for nodeid in first if nodeid not in mended]
    sessions = [*steps, rerun] if rerun else [*steps]
    lines = [f"RERUN {nodeid}: failed at first, passed when it ran again, alone" for nodeid in mended]
    lines += [f"FAILED {nodeid}{', both times' if nodeid in again.failing else ''}" for nodeid in failed]
    lines += [f"LEFT {thing}" for session in sessions for thing in session.outcome.left]
    if len(first) > MOST_RERUNS:
        lines.append(f"test: {len(first)} failed; more than {MOST_RERUNS} are not run again")
    elif mended:
        lines.append(f"test: {len(mended)} of at most {MOST_RERUNS} reruns; each is a defect that waits to be found")
    passed = {nodeid for step in steps for nodeid in step.outcome.passed}.union(mended).difference(failed)
    skipped = {nodeid for step in steps for nodeid in step.outcome.skipped}
    counts = {"failed": len(failed), "passed": len(passed), "skipped": len(skipped), "rerun": len(mended)}
    told = [f"{count} {word}" for word, count in counts.items() if count] or ["no tests ran"]
    troubled = next((session.code or 1 for session in sessions if session.in_trouble), 0)
    if troubled:
        told.insert(0, f"a session ended with {troubled}")
    return [*lines, f"{', '.join(told)} in {seconds:.2f}s"], troubled or int(bool(failed))


def _failing(steps: Sequence[Step]) -> list[str]:
    return list(dict.fromkeys(nodeid for step in steps for nodeid in step.outcome.failing))
