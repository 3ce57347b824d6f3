"""A whole run with real sessions: what fails once is named and counted, what fails twice or too often fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.actor import ROOT
from tests.lab.leftovers import MARK

pytestmark = [pytest.mark.kernel, pytest.mark.takes(8)]

RUN = """
import sys
from scripts.testing import __main__ as testing
testing.UNIT, testing.SIDE_BY_SIDE, testing.ALONE = (
    (f"{sys.argv[1]}/test_unit.py",), ("-n", "2", f"{sys.argv[1]}/test_kernel.py"), (f"{sys.argv[1]}/test_alone.py",)
)
sys.exit(testing.main(["-p", "tests.conftest", "-p", "no:cacheprovider"]))
"""
FAILS_ONCE = """
def test_{name}():
    from pathlib import Path
    before = Path("{folder}/{name}")
    seen = before.exists()
    before.touch()
    assert seen
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Below the repository, as tests are: their ids are paths from there."""
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reruns-", dir=ROOT / "build") as made:
        yield Path(made)


def ran(folder: Path, *, once: tuple[str, ...] = (), kernel: str = "def test_fine(): pass") -> list[str]:
    """The lines that such a run ends with, after its exit code."""
    (folder / "test_unit.py").write_text("def test_unit(): pass\n")
    flaky = "".join(FAILS_ONCE.format(name=name, folder=folder) for name in once)
    (folder / "test_kernel.py").write_text(f"{kernel}\n{flaky}")
    (folder / "test_alone.py").write_text("def test_alone(): pass\n")
    environment = {name: value for name, value in os.environ.items() if name != MARK and "XDIST" not in name}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    return [str(done.returncode), *done.stdout.splitlines()]


def test_two_that_fail_once_are_named_and_counted(folder: Path) -> None:
    code, *lines = ran(folder, once=("first", "second"))
    assert code == "0", "\n".join(lines)
    named = [line for line in lines if line.startswith("RERUN ")]
    assert [line.rpartition("::")[2].partition(":")[0] for line in named] == ["test_first", "test_second"]
    assert lines[-1].startswith("5 passed, 2 rerun in ")


def test_three_that_fail_once_fail_the_run(folder: Path) -> None:
    code, *lines = ran(folder, once=("first", "second", "third"))
    assert code == "1"
    assert lines[-1].startswith("3 failed, 3 passed in ")


def test_a_process_that_is_left_fails_the_run_though_every_test_passed(folder: Path) -> None:
    sleeper = (
        "import os\nfrom pathlib import Path\n"
        "def test_it():\n    Path('{0}').write_text(str(os.spawnlp(os.P_NOWAIT, 'sleep', 'sleep', '60')))"
    )
    code, *lines = ran(folder, kernel=sleeper.format(folder / "pid"))
    os.kill(int((folder / "pid").read_text()), 9)
    assert code == "1"
    assert any(line.startswith("LEFT process") and "sleep 60" in line for line in lines)
    assert lines[-1].startswith("a session ended with 1, 3 passed in ")
