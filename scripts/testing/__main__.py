"""`make test`: runs the steps, runs again what failed by chance, and ends with one line that tells it all.

TIDEGATE_WORKERS is how many tests of the kernel run side by side. Arguments go to every pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.testing.closing import Step, close, to_run_again
from tests.lab.outcome import Outcome

WORKERS = os.environ.get("TIDEGATE_WORKERS", "4")
"""On two cores; most of these tests wait."""

UNIT = ("-n", "3", "tests/unit")
SIDE_BY_SIDE = ("-n", WORKERS, "-m", "not alone", "tests/netns", "tests/e2e")
ALONE = ("-m", "alone", "tests/netns", "tests/e2e")


def session(*arguments: str) -> Step:
    """One pytest, whose output is shown as it comes."""
    with tempfile.TemporaryDirectory(prefix="tidegate-test-") as folder:
        told = Path(folder) / "outcome"
        argv = [sys.executable, "-m", "pytest", "-q", "--outcome", str(told), *arguments]
        code = subprocess.run(argv, check=False).returncode
        return Step(code, Outcome.read(told) if told.exists() else Outcome())


def main(extra: list[str]) -> int:
    began = time.monotonic()
    steps = [session(*extra, *UNIT)]
    rerun = None
    if steps[0].code == 0:  # a unit test has no chance in it and is not run again
        steps += [session(*extra, *SIDE_BY_SIDE), session(*extra, *ALONE)]
        again = to_run_again(steps)
        if again:
            print(f"test: {len(again)} failed and run again, alone", flush=True)
            rerun = session(*extra, *again)
    lines, code = close(steps, rerun, time.monotonic() - began)
    print("\n".join(lines), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
