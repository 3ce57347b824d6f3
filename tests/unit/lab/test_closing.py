"""How a whole run ends: what failed once is named and counted, and only so much of it is forgiven."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.testing.closing import Step, close, to_run_again
from tests.lab import outcome
from tests.lab.outcome import Outcome

UNIT = Step(0, Outcome(passed=("u1", "u2"), skipped=("u3",)))


def failing(*ids: str, passed: tuple[str, ...] = ("a",)) -> Step:
    return Step(1, Outcome(passed=passed, failing=ids))


def test_everything_passed() -> None:
    steps = [UNIT, Step(0, Outcome(passed=("a", "b")))]
    assert to_run_again(steps) == []
    assert close(steps, None, 12.345) == (["4 passed, 1 skipped in 12.35s"], 0)


def test_what_passes_the_second_time_is_named_and_counted() -> None:
    steps = [UNIT, failing("x[1]", "y")]
    assert to_run_again(steps) == ["x[1]", "y"]
    lines, code = close(steps, Step(0, Outcome(passed=("x[1]", "y"))), 60)
    assert code == 0
    assert lines == [
        "RERUN x[1]: failed at first, passed when it ran again, alone",
        "RERUN y: failed at first, passed when it ran again, alone",
        "test: 2 of at most 2 reruns; each is a defect that waits to be found",
        "5 passed, 1 skipped, 2 rerun in 60.00s",
    ]


def test_what_fails_twice_fails_the_run() -> None:
    steps = [UNIT, failing("x", "y")]
    lines, code = close(steps, failing("y", passed=("x",)), 60)
    assert code == 1
    assert lines[0].startswith("RERUN x")
    assert lines[1] == "FAILED y, both times"
    assert lines[-1] == "1 failed, 4 passed, 1 skipped, 1 rerun in 60.00s"


def test_more_than_two_are_not_run_again_and_fail_the_run() -> None:
    steps = [UNIT, failing("x", "y"), failing("z")]
    assert to_run_again(steps) == []
    lines, code = close(steps, None, 60)
    assert code == 1
    assert lines[:3] == ["FAILED x", "FAILED y", "FAILED z"]
    assert "3 failed; more than 2" in lines[3]
    assert lines[-1] == "3 failed, 3 passed, 1 skipped in 60.00s"


def test_a_test_that_was_not_run_the_second_time_has_not_passed() -> None:
    lines, code = close([failing("x")], Step(0, Outcome()), 60)
    assert (lines[0], code) == ("FAILED x", 1)


def test_one_that_passed_but_could_not_be_torn_down_counts_once() -> None:
    step = failing("a")
    assert close([step], Step(0, Outcome(passed=("a",))), 1)[0][-1] == "1 passed, 1 rerun in 1.00s"
    assert close([step], failing("a"), 1)[0][-1] == "1 failed in 1.00s"


@pytest.mark.parametrize(
    "step",
    [
        Step(1, Outcome(passed=("a",), left=("process 7: nginx",))),
        Step(1, Outcome(passed=("a",), failing=("x",), left=("process 7: nginx",))),
        Step(0, Outcome(passed=("a",), left=("process 7: nginx",))),
    ],
)
def test_what_is_left_behind_fails_the_run_and_no_rerun_mends_it(step: Step) -> None:
    assert to_run_again([UNIT, step]) == []
    lines, code = close([UNIT, step], None, 1)
    assert code == 1
    assert "LEFT process 7: nginx" in lines


def test_what_the_rerun_leaves_behind_fails_the_run() -> None:
    rerun = Step(1, Outcome(passed=("x",), left=("/run/netns/tglab-1",)))
    assert close([failing("x")], rerun, 1)[1] == 1


@pytest.mark.parametrize("code", [2, 3, 4, 5, -9])
def test_pytests_own_trouble_is_the_runs(code: int) -> None:
    steps = [UNIT, Step(code, Outcome(failing=("x",)))]
    assert to_run_again(steps) == []
    lines, ended = close(steps, None, 1)
    assert ended == code
    assert lines[-1].startswith(f"a session ended with {code}, ")


def test_failing_without_a_failure_is_trouble() -> None:
    assert close([Step(1, Outcome(passed=("a",)))], None, 1)[1] == 1
    assert close([failing("x")], Step(1, Outcome(passed=("x",))), 1)[1] == 1


def test_an_outcome_is_read_from_the_reporters_lists() -> None:
    def report(nodeid: str) -> SimpleNamespace:
        return SimpleNamespace(nodeid=nodeid)

    stats = {
        "": [report("a")],
        "passed": [report("a"), report("torn")],
        "failed": [report("f")],
        "error": [report("torn"), report("f")],
        "skipped": [report("s")],
        "xfailed": [report("x")],
        "warnings": [report("w")],
    }
    assert outcome.of(stats, ["thing"]) == Outcome(("a", "torn", "x"), ("s",), ("f", "torn"), ("thing",))


def test_an_outcome_goes_through_its_file(tmp_path: Path) -> None:
    made = Outcome(("a[é\n]",), ("s",), ("f",), ("l",))
    made.write(tmp_path / "outcome")
    assert Outcome.read(tmp_path / "outcome") == made
