"""`python -m bench.drills`: takes every drill through every contestant and writes docs/resilience.md's tables."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from bench.drills.contestants import CONTESTANTS
from bench.drills.endpoints import KINDS, RECOVERING, UNWELL_S
from bench.drills.page import Result, back_after, put_into, tables
from bench.drills.world import SICK, VIP, drill
from bench.processes import BenchError, run
from bench.rounds import say

TOP = Path(__file__).resolve().parents[2]
RESULTS, PAGE = TOP / "bench" / "results" / "drills.json", TOP / "docs" / "resilience.md"


def take(kind: str, contestant: str, rate: float, seconds: float) -> Result:
    """Raises BenchError."""
    with drill(kind) as where, CONTESTANTS[contestant](where):
        argv = [sys.executable, "-m", "bench.drills.caller", VIP, str(rate), str(seconds)]
        told = json.loads(run(where.pod, argv, seconds + 60))
        got = where.seconds_of()
    return Result(
        kind,
        contestant,
        told["requests"],
        told["failed"],
        told["p50_ms"],
        told["p99_ms"],
        sum(sum(one.values()) for one in got.values()),
        back_after(got, SICK, int(UNWELL_S)) if kind == RECOVERING else None,
    )


def main() -> int:
    asked = _arguments()
    if os.geteuid() != 0:
        say("bench.drills: needs root: it makes network namespaces and starts servers in them")
        return 4
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    results, failures = [], 0
    for kind in asked.drills:
        for contestant in asked.only:
            try:
                results.append(take(kind, contestant, asked.rate, asked.seconds))
            except (BenchError, OSError) as wrong:
                failures += 1
                say(f"{kind}, {contestant}: {wrong}")
                continue
            one = results[-1]
            say(
                f"{kind:12} {contestant:22} failed {one.failed:5} of {one.requests}, p50 {one.p50_ms:.1f} ms,"
                f" p99 {one.p99_ms:.1f} ms, upstream {one.upstream}"
            )
    if not asked.short and not failures:
        RESULTS.write_text(json.dumps([one._asdict() for one in results], indent=1) + "\n")
        PAGE.write_text(put_into(PAGE.read_text(), tables(results)))
        say(f"see {RESULTS} and {PAGE}")
    else:
        print(tables(results))
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.drills", description=__doc__)
    parser.add_argument("--short", action="store_true", help="3 s a drill at 100 requests a second; nothing is written")
    parser.add_argument("--rate", type=float, default=400.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each drill; more than 15 for a recovery")
    parser.add_argument("--drills", type=_among(KINDS), default=list(KINDS), metavar="KIND,…")
    parser.add_argument("--only", type=_among(CONTESTANTS, ";"), default=list(CONTESTANTS), metavar="NAME;…")
    asked = parser.parse_args()
    if asked.short:
        asked.rate, asked.seconds = 100.0, 3.0
    return asked


def _among(known: object, separator: str = ",") -> object:
    names = list(known)  # type: ignore[call-overload]

    def chosen(text: str) -> list[str]:
        found = [one.strip() for one in text.split(separator)]
        for one in found:
            if one not in names:
                raise argparse.ArgumentTypeError(f"{one!r} is none of {f'{separator} '.join(names)}")
        return found

    return chosen


if __name__ == "__main__":
    sys.exit(main())
