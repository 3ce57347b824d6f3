"""`python -m scripts.testing.mutants MODULE… -- TESTS…`: which small changes to a module do its tests not notice?

Works in a copy of the repository, one pytest a mutant. Ends with 1 when a mutant survives. A survivor is a missing
test, a condition that isn't needed, or a change without an effect: only a reader can tell which.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.testing.mutations import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "build", ".*_cache", "__pycache__", ".hypothesis", "*.egg-info")
SLACK_S = 20.0
"""A mutant may loop for ever: so much longer than the unchanged module it may take."""


def passes(copy: Path, tests: list[str], timeout: float) -> bool:
    argv = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(argv, cwd=copy, env=environment, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def survivors(copy: Path, module: str, tests: list[str]) -> list[Mutant]:
    path = copy / module
    source = path.read_text()
    began = time.monotonic()
    if not passes(copy, tests, 600):
        raise SystemExit(f"mutants: {' '.join(tests)} fail without any mutant")
    limit = (time.monotonic() - began) * 2 + SLACK_S
    made = list(mutants(source))
    living = []
    try:
        for mutant in made:
            path.write_text(mutant.source)
            if passes(copy, tests, limit):
                living.append(mutant)
                print(f"{module}:{mutant.line}: {mutant.what}", flush=True)
    finally:
        path.write_text(source)
    print(f"{module}: {len(made) - len(living)} of {len(made)} mutants killed", flush=True)
    return living


def main(arguments: list[str]) -> int:
    if "--" not in arguments:
        print(__doc__, file=sys.stderr)
        return 2
    cut = arguments.index("--")
    modules, tests = arguments[:cut], arguments[cut + 1 :]
    with tempfile.TemporaryDirectory(prefix="tidegate-mutants-") as folder:
        copy = Path(folder) / "tidegate"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT, symlinks=True)
        return int(sum(len(survivors(copy, module, tests)) for module in modules) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
