"""`make faults`: each fault in a process and a lab of its own, some side by side; then the page.

With names: only these, and no page. `--one NAME` is what the processes are started with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from scripts.faults.catalogue import FAULTS
from scripts.faults.model import Seen
from scripts.faults.page import page
from tests.lab import Lab
from tests.lab.lab import end_session

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
SIDE_BY_SIDE = 3
"""Most of them wait."""
LONGEST_S = 150


def one(name: str) -> int:
    """Injects one fault; the last line on stdout is what was seen, as JSON."""
    lab = Lab()
    try:
        seen = FAULTS[name].inject(lab)
    except Exception as broken:
        traceback.print_exc()
        print(json.dumps({"broken": str(broken) or type(broken).__name__}), flush=True)
        return 1
    finally:
        lab.close()
        end_session()
    print(json.dumps(asdict(seen)), flush=True)
    return 0


def in_a_process(name: str) -> Seen | str:
    began = time.monotonic()
    argv = [sys.executable, "-m", "scripts.faults", "--one", name]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no end within {LONGEST_S} s"
    lines = done.stdout.splitlines()
    told = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {"broken": done.stderr[-300:]}
    broken = told.get("broken")
    print(f"{time.monotonic() - began:5.1f} s  {name}: {broken or told['text']}", flush=True)
    if broken is not None:
        print(done.stderr, file=sys.stderr, flush=True)
        return str(broken)[:200]
    return Seen(**told)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--one"]:
        return one(arguments[1])
    names = arguments or list(FAULTS)
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        print(f"faults: unknown: {' '.join(unknown)}; there are: {' '.join(FAULTS)}", file=sys.stderr)
        return 2
    began = time.monotonic()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = dict(zip(names, pool.map(in_a_process, names), strict=True))
    broken = [name for name, seen in found.items() if isinstance(seen, str)]
    if not arguments:
        PAGE.write_text(page(found, FAULTS, os.uname().release, os.cpu_count() or 1), encoding="utf-8")
    print(f"faults: {len(found)} in {time.monotonic() - began:.0f} s; not as promised: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
