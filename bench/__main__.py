"""`make bench`, `make bench-smoke`: tidegate beside no proxy, HAProxy, Envoy and nginx, on real servers."""

import argparse
import json
import os
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from bench.contestants import CONTESTANTS, Contestant
from bench.descriptors import fitting, raise_limit
from bench.machine import REPOSITORY, background_busy
from bench.rounds import Settings, document, layer4, measure, named, say
from bench.summary import Run

RESULTS = Path(__file__).parent / "results"
PAGE = REPOSITORY / "docs" / "performance.md"
BASES = ("none", "haproxy", "haproxy-splice")
FULL = Settings(
    rounds=5,
    seconds=2,
    threads=1,
    memory_rounds=3,
    memory_counts=(1_000, 10_000),
    memory_apart=True,
    loads=layer4,
    budget_s=800,
)
SMOKE = Settings(
    rounds=1,
    seconds=1,
    threads=1,
    memory_rounds=1,
    memory_counts=(100,),
    memory_apart=False,
    loads=layer4,
    budget_s=800,
)


def main() -> int:
    asked = _arguments()
    if asked.page_only:
        recorded = RESULTS / "performance.json"
        return _show(json.loads(recorded.read_text()) if recorded.exists() else _nothing(asked.only), RESULTS, PAGE)
    if os.geteuid() != 0:
        say("bench: needs root: it makes network namespaces and starts servers in them")
        return 4
    # As an exception it ends namespaces and processes on its way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    usual = SMOKE if asked.smoke else FULL
    counts = fitting(usual.memory_counts, raise_limit())
    if counts != usual.memory_counts:
        say(f"the limit of open files allows no {usual.memory_counts[-1]:,} connections: {counts[-1]:,} instead")
    settings = Settings(
        rounds=asked.rounds or usual.rounds,
        seconds=asked.seconds or usual.seconds,
        threads=asked.threads,
        memory_rounds=usual.memory_rounds,
        memory_counts=counts,
        memory_apart=usual.memory_apart,
        loads=usual.loads,
        budget_s=asked.budget,
    )
    # A smoke run proves that the harness works. Its figures must not replace real ones.
    if asked.smoke:
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-smoke-") as scratch:
            return _run(asked.only, settings, Path(scratch), Path(scratch) / "performance.md", smoke=True)
    return _run(asked.only, settings, RESULTS, PAGE, smoke=False)


def _run(only: list[Contestant], settings: Settings, results: Path, page: Path, *, smoke: bool) -> int:
    busy = background_busy(0.5 if smoke else 5.0)
    say(f"others use {busy:.0%} of this machine")
    outcome = measure(only, settings)
    made = document(only, settings, outcome, busy, BASES)
    results.mkdir(exist_ok=True)
    (results / "performance.json").write_text(json.dumps(made, indent=1) + "\n")
    _show(made, results, page)
    done = f"{outcome.rounds_done} of {settings.rounds} rounds"
    say(f"{done} in {outcome.seconds:.0f} s, {len(outcome.failures)} failures")
    if not smoke:
        say(f"see {page} and {results}")
    return 1 if outcome.failures or not outcome.rounds_done else 0


def _nothing(only: list[Contestant]) -> dict[str, Any]:
    """Results as they are before the first full run."""
    return {"date": None, "contestants": {one.name: one.title for one in only}, "failures": [], "runs": []}


def _show(document: dict[str, Any], results: Path, page: Path) -> int:
    """Plots and page, from the results alone."""
    from bench.page import render
    from bench.plots import draw

    runs = [Run(**run) for run in document["runs"]]
    plots = draw(document["contestants"], runs, results)
    page.write_text(render(document, runs, plots, results, page.parent))
    return 0


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--smoke", action="store_true", help="each contestant once, 1 s a load; results are thrown away"
    )
    parser.add_argument("--rounds", type=_positive)
    parser.add_argument("--seconds", type=_positive, help="of each load")
    parser.add_argument("--threads", type=_positive, default=1, help="of each proxy (default: 1)")
    parser.add_argument("--budget", type=_positive, default=int(FULL.budget_s), help="seconds that all rounds may take")
    parser.add_argument("--only", type=partial(named, among=CONTESTANTS), default=list(CONTESTANTS), metavar="NAME,…")
    parser.add_argument("--page-only", action="store_true", help="plots and page again, from the last results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
