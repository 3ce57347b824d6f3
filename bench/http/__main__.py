"""`python -m bench.http`: the parsed lane beside HAProxy, nginx and Envoy in their HTTP modes, one interleaved run."""

import argparse
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

from bench.contestants import Contestant
from bench.descriptors import raise_limit
from bench.http import loads
from bench.http.contestants import CONTESTANTS
from bench.http.targets import TARGETS
from bench.machine import background_busy
from bench.rounds import Load, Outcome, Settings, document, measure, named, say, with_memory
from bench.targets import judge

RESULTS = Path(__file__).parents[1] / "results" / "http.json"
BASES = ("haproxy", "envoy", "splice-nftables", "parsed-nftables", "none")
BUSY_SHARE = 0.05


def http_loads(contestant: Contestant, number: int, settings: Settings) -> list[dict[str, Load]]:
    seconds = settings.seconds
    speed: dict[str, Load] = {
        "requests1": lambda where, proxy: loads.requests(where, proxy, seconds, 1),
        "requests32": lambda where, proxy: loads.requests(where, proxy, seconds, 32),
        "requests256": lambda where, proxy: loads.requests(where, proxy, seconds, 256),
        "bodies": lambda where, proxy: loads.bodies(where, proxy, seconds),
    }
    return with_memory(speed, contestant, number, settings)


def main() -> int:
    asked = _arguments()
    if os.geteuid() != 0:
        say("bench.http: needs root: it makes network namespaces and starts servers in them")
        return 4
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    raise_limit()
    settings = Settings(
        rounds=1 if asked.smoke else asked.rounds,
        seconds=1 if asked.smoke else asked.seconds,
        threads=asked.threads,
        memory_rounds=1 if asked.smoke else 3,
        memory_counts=(100,) if asked.smoke else (1000,),
        memory_apart=not asked.smoke,
        loads=http_loads,
        budget_s=asked.budget,
    )
    busy = background_busy(0.5 if asked.smoke else 5.0)
    say(f"others use {busy:.0%} of this machine{'; figures are worth little' if busy > BUSY_SHARE else ''}")
    outcome = measure(asked.only, settings)
    print(table(outcome))
    # A smoke run proves that the harness works. Its figures must not replace real ones.
    if not asked.smoke:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(document(asked.only, settings, outcome, busy, BASES), indent=1) + "\n")
        say(f"see {RESULTS}")
    done = f"{outcome.rounds_done} of {settings.rounds} rounds in {outcome.seconds:.0f} s"
    say(f"{done}, {len(outcome.failures)} failures")
    return 1 if outcome.failures or not outcome.rounds_done else 0


def table(outcome: Outcome) -> str:
    """What is promised, and what was measured: the median of ratios within a round, the lowest and the highest."""
    lines = []
    for one in judge(outcome.runs, TARGETS):
        bound = f"{'at least' if one.target.at_least else 'at most'} {one.target.bound:g}"
        against = "" if one.target.against is None else f" of {one.target.against}"
        what = f"{one.contestant:16} {one.target.figure}{against}"
        if one.measured is None:
            lines.append(f"{what:70} {bound:16} not measured")
            continue
        spread = f"{one.measured.median:.4g} ({one.measured.low:.4g} to {one.measured.high:.4g})"
        lines.append(f"{what:70} {bound:16} {spread:32} {'met' if one.met else 'MISSED'}")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.http", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="each once, 1 s a load; results are thrown away")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each load")
    parser.add_argument("--threads", type=int, default=1, help="of each proxy (default: 1)")
    parser.add_argument("--budget", type=float, default=800.0, help="seconds that all rounds may take")
    parser.add_argument("--only", type=partial(named, among=CONTESTANTS), default=list(CONTESTANTS), metavar="NAME,…")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
