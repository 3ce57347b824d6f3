"""`python -m bench.http.watching`: what a viewer costs the proxy, as root. One world, one proxy; in each round the same
load runs beside nobody, `top`, a `tap` that chooses, one that shows everything, and nobody again; the order turns.

Promised: at most 5 % of the requests a second while somebody looks. The ratios are within a round, to the mean of its
two runs without a viewer, whose own ratio shows how far the machine can be believed. The viewer itself takes CPU of the
same machine: its share stands beside, as does the proxy's CPU per request, which is the proxy's cost alone."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import mean, median

from bench.accounting import cpu
from bench.contestants import TIDEGATE
from bench.descriptors import raise_limit
from bench.http.contestants import parsed
from bench.http.loads import requests
from bench.loads import check_path
from bench.machine import background_busy
from bench.processes import BenchError, Program
from bench.rounds import say
from bench.world import World, world

RESULTS = Path(__file__).parents[1] / "results" / "watching.json"
PROMISED = 0.95
CONNECTIONS = 32
SETTLE_S = 1.0
NOBODY, AGAIN = "nobody", "nobody-again"
VIEWERS: dict[str, tuple[str, ...]] = {
    NOBODY: (),
    "top": ("top",),
    "tap-5xx": ("tap", "--status", "5xx"),
    "tap-path": ("tap", "--path", "/nosuch", "--json"),
    "tap-all": ("tap", "--json"),
    AGAIN: (),
}
Figures = dict[str, float]


def main() -> int:
    asked = _arguments()
    if os.geteuid() != 0:
        say("bench.http.watching: needs root: it makes network namespaces and starts servers in them")
        return 4
    raise_limit()
    busy = background_busy(0.5 if asked.smoke else 5.0)
    rounds, seconds = (1, 1) if asked.smoke else (asked.rounds, asked.seconds)
    say(f"others use {busy:.0%} of this machine; {rounds} rounds of {len(VIEWERS)} runs of {seconds} s")
    with world() as where, parsed(where, 1, "nftables") as proxy:
        check_path(where, proxied=True)
        requests(where, proxy, 1, CONNECTIONS)  # warm
        runs = [_round(where, proxy, seconds, number) for number in range(rounds)]
    found = {name: _judged(runs, name) for name in VIEWERS if name != NOBODY}
    print("\n".join(_lines(found)))
    if not asked.smoke:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps({"background": busy, "seconds": seconds, "rounds": runs}, indent=1) + "\n")
    watched = [one["rps"] for name, one in found.items() if name != AGAIN]
    return 0 if asked.smoke or min(watched) >= PROMISED else 1


def _round(where: World, proxy: Program, seconds: int, number: int) -> dict[str, Figures]:
    names = list(VIEWERS)
    middle = names[1:-1]
    turned = middle[number % len(middle) :] + middle[: number % len(middle)]
    found = {}
    for name in (names[0], *turned, names[-1]):
        found[name] = _run(where, proxy, seconds, VIEWERS[name])
        say(f"round {number + 1}: {name:14} {found[name]['rps']:8.0f} requests/s")
    return found


def _run(where: World, proxy: Program, seconds: int, viewer: tuple[str, ...]) -> Figures:
    with _viewing(where, viewer) as program:
        before = None if program is None else cpu(program.session)
        figures = requests(where, proxy, seconds, CONNECTIONS)
        found = {
            "rps": figures[f"requests{CONNECTIONS}_rps"],
            "us_per_request": figures[f"requests{CONNECTIONS}_proxy_us_per_request"],
            "p99_us": figures[f"requests{CONNECTIONS}_p99_us"],
            "errors": figures[f"requests{CONNECTIONS}_errors"],
            "viewer_cpu": 0.0,
        }
        if program is not None and before is not None:
            if not program.alive():
                raise BenchError(f"the viewer has ended: {program.said()}")
            after = cpu(program.session)
            found["viewer_cpu"] = after.since(before).proxy_s / seconds
    return found


@contextmanager
def _viewing(where: World, viewer: tuple[str, ...]) -> Iterator[Program | None]:
    with Program(where.pod, [TIDEGATE, *viewer], quiet=True) if viewer else nullcontext() as program:
        time.sleep(SETTLE_S)
        yield program


def _judged(runs: list[dict[str, Figures]], name: str) -> Figures:
    """The median of ratios within a round; of the second run without a viewer, to the first."""

    def base(one: dict[str, Figures], key: str) -> float:
        return one[NOBODY][key] if name == AGAIN else mean((one[NOBODY][key], one[AGAIN][key]))

    def ratios(key: str) -> list[float]:
        return [one[name][key] / base(one, key) for one in runs]

    return {
        "rps": median(ratios("rps")),
        "low": min(ratios("rps")),
        "high": max(ratios("rps")),
        "us_per_request": median(ratios("us_per_request")),
        "viewer_cpu": median(one[name]["viewer_cpu"] for one in runs),
    }


def _lines(found: dict[str, Figures]) -> Iterator[str]:
    yield f"{'viewer':14} {'requests/s':>10} {'lowest':>8} {'highest':>8} {'proxy CPU':>10} {'viewer CPU':>11}"
    for name, one in found.items():
        verdict = "" if name == AGAIN else "  met" if one["rps"] >= PROMISED else "  MISSED"
        yield (
            f"{name:14} {one['rps']:10.3f} {one['low']:8.3f} {one['high']:8.3f} {one['us_per_request']:10.3f} "
            f"{one['viewer_cpu']:10.0%}{verdict}"
        )


def _arguments() -> argparse.Namespace:
    asking = argparse.ArgumentParser(prog="python -m bench.http.watching", description=__doc__)
    asking.add_argument("--rounds", type=int, default=5)
    asking.add_argument("--seconds", type=int, default=4)
    asking.add_argument("--smoke", action="store_true", help="one short round, to see that it works")
    return asking.parse_args()


if __name__ == "__main__":
    sys.exit(main())
