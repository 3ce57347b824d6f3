"""`python -m scripts.testing.mutants [--sample N] MODULE… -- TESTS…`: which small changes do the tests not notice?

Works in a copy of the repository, one pytest a mutant; `--sample` takes so many of each module, always the same ones.
Ends with 1 when a mutant survives. A survivor is a missing test, a condition that isn't needed, or a change without an
effect: only a reader can tell which.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from scripts.testing.mutations import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "build", ".*_cache", "__pycache__", ".hypothesis", "*.egg-info")
SLACK_S = 20.0
"""A mutant may loop for ever: so much longer than the unchanged module it may take."""


def passes(copy: Path, tests: list[str], timeout: float) -> bool:
    """Whether the tests pass in the copy, in a process of their own that begins without any module of ours."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for standard in (0, 1, 2):
                os.dup2(null, standard)
            os.chdir(copy)
            sys.path[:] = [str(copy), *(path for path in sys.path if path not in ("", str(ROOT)))]
            for name in [name for name in sys.modules if name.partition(".")[0] in ("scripts", "tests")]:
                del sys.modules[name]
            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
        finally:
            os._exit(code)
    watched = os.pidfd_open(pid)
    if not select.select([watched], [], [], timeout)[0]:
        os.killpg(pid, signal.SIGKILL)
    os.close(watched)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def written(path: Path, source: str) -> None:
    """Byte code is told apart by its source's size and second: two mutants may share both."""
    path.write_text(source)
    for cached in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        cached.unlink()


def survivors(copy: Path, module: str, tests: list[str], sample: int) -> list[Mutant]:
    path = copy / module
    source = path.read_text()
    passes(copy, tests, 600)  # makes the byte code
    began = time.monotonic()
    if not passes(copy, tests, 600):
        raise SystemExit(f"mutants: {' '.join(tests)} fail without any mutant")
    limit = (time.monotonic() - began) * 2 + SLACK_S
    made = list(mutants(source))
    tried = random.Random(module).sample(made, min(sample, len(made)))  # noqa: S311  # chosen the same way each time
    living = []
    try:
        for mutant in sorted(tried, key=lambda mutant: mutant.line):
            written(path, mutant.source)
            if passes(copy, tests, limit):
                living.append(mutant)
                print(f"{module}:{mutant.line}: {mutant.what}", flush=True)
    finally:
        written(path, source)
    print(f"{module}: {len(tried) - len(living)} of {len(tried)} mutants killed, of {len(made)} possible", flush=True)
    return living


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=sys.maxsize)
    parser.add_argument("modules", nargs="+")
    cut = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    asked, tests = parser.parse_args(sys.argv[1:cut]), sys.argv[cut + 1 :]
    if not tests:
        parser.error("name the tests after --")
    with tempfile.TemporaryDirectory(prefix="tidegate-mutants-") as folder:
        copy = Path(folder) / "tidegate"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT, symlinks=True)
        return int(sum(len(survivors(copy, module, tests, asked.sample)) for module in asked.modules) > 0)


if __name__ == "__main__":
    sys.exit(main())
