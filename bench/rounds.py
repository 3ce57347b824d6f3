"""Runs every contestant once a round, in an order that changes, each in a fresh world."""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench import loads
from bench.contestants import Contestant
from bench.machine import describe
from bench.processes import BenchError, Program
from bench.summary import Figures, Run, summary
from bench.world import World, world

Load = Callable[[World, Program | None], Figures]
Loads = Callable[[Contestant, int, "Settings"], list[dict[str, Load]]]
"""What a contestant is measured with in a round: the loads of one world after another."""


@dataclass(frozen=True, slots=True)
class Settings:
    rounds: int
    seconds: int
    """Of each load."""
    threads: int
    """Of each proxy."""
    memory_rounds: int
    """In how many of the rounds memory is measured."""
    memory_counts: tuple[int, ...]
    memory_apart: bool
    """In a world of its own: what a load has made a proxy allocate would hide what connections cost, and thousands of
    connections would slow the loads."""
    loads: Loads
    budget_s: float
    """No round begins that would, going by the longest so far, end later than this."""

    def shown(self) -> dict[str, object]:
        """What results keep of them."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "loads"}


@dataclass(slots=True)
class Outcome:
    runs: list[Run] = field(default_factory=list)
    failures: list[dict[str, object]] = field(default_factory=list)
    rounds_done: int = 0
    seconds: float = 0.0


def measure(contestants: Sequence[Contestant], settings: Settings) -> Outcome:
    """All rounds that fit into the budget. A load that fails costs its figures, never the others'."""
    outcome = Outcome()
    began = time.monotonic()
    longest = 0.0
    for number in range(settings.rounds):
        started = time.monotonic()
        if started - began + longest > settings.budget_s:
            say(f"round {number + 1} of {settings.rounds} would not end within {settings.budget_s:.0f} s: left out")
            break
        for contestant in random.Random(number).sample(contestants, len(contestants)):
            _one(contestant, number, settings, outcome)
        outcome.rounds_done += 1
        longest = max(longest, time.monotonic() - started)
    outcome.seconds = time.monotonic() - began
    return outcome


def _one(contestant: Contestant, number: int, settings: Settings, outcome: Outcome) -> None:
    figures: Figures = {}
    groups = settings.loads(contestant, number, settings)
    for group in groups:
        at = "start"
        try:
            with world() as where, contestant.start(where, settings.threads) as proxy:
                loads.check_path(where, proxied=contestant.proxied)
                for name, load in group.items():
                    at = name
                    found = load(where, proxy)
                    if contestant.proxied:
                        loads.check_worked(found)
                    figures |= found
                at = "stop"
        except (BenchError, OSError, subprocess.SubprocessError) as failed:
            outcome.failures.append({"round": number, "contestant": contestant.name, "load": at, "error": str(failed)})
            say(f"{contestant.name}: {at}: {failed}")
    outcome.runs.append(Run(number, contestant.name, figures))
    say(f"round {number + 1}  {contestant.name:16}  {brief(figures)}")


def layer4(contestant: Contestant, number: int, settings: Settings) -> list[dict[str, Load]]:
    seconds = settings.seconds
    # Short connections come last: they leave ports and conntrack entries behind.
    speed: dict[str, Load] = {
        "bulk1": lambda where, proxy: loads.bulk(where, proxy, seconds, 1),
        "bulk4": lambda where, proxy: loads.bulk(where, proxy, seconds, 4),
        "keepalive": lambda where, proxy: loads.keepalive(where, proxy, seconds),
        "short": lambda where, proxy: loads.short(where, proxy, seconds),
    }
    return with_memory(speed, contestant, number, settings)


def with_memory(
    speed: dict[str, Load], contestant: Contestant, number: int, settings: Settings
) -> list[dict[str, Load]]:
    memory: dict[str, Load] = {"memory": lambda where, proxy: loads.memory(where, proxy, settings.memory_counts)}
    if not contestant.proxied or number >= settings.memory_rounds:
        return [speed]
    return [memory, speed] if settings.memory_apart else [memory | speed]


def document(
    only: Sequence[Contestant], settings: Settings, outcome: Outcome, busy: float, bases: Sequence[str]
) -> dict[str, Any]:
    """What results keep of a run."""
    done = {"rounds_done": outcome.rounds_done, "seconds_taken": round(outcome.seconds)}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe(),
        "background_busy": round(busy, 3),
        "settings": settings.shown() | done,
        "contestants": {one.name: one.title for one in only},
        "summary": summary(outcome.runs, bases),
        "failures": outcome.failures,
        "runs": [asdict(run) for run in outcome.runs],
    }


def named(text: str, among: Sequence[Contestant]) -> list[Contestant]:
    """Of `--only`. Raises argparse's own error."""
    known = {one.name: one for one in among}
    try:
        return [known[name.strip()] for name in text.split(",")]
    except KeyError as unknown:
        raise argparse.ArgumentTypeError(f"{unknown} is not one of {', '.join(known)}") from None


def brief(figures: Figures) -> str:
    shown = {
        "bulk1_gbit_s": "{:.2f} Gbit/s",
        "bulk4_gbit_s": "{:.2f} Gbit/s (4)",
        "keepalive_rps": "{:.0f} rps",
        "keepalive_p50_us": "p50 {:.0f} us",
        "short_conn_s": "{:.0f} conn/s",
        "requests32_rps": "{:.0f} rps (32)",
        "requests32_proxy_us_per_request": "{:.1f} us CPU",
        "requests256_rps": "{:.0f} rps (256)",
        "requests1_p50_us": "p50 {:.0f} us (1)",
        "bodies_rps": "{:.0f} MB/s",
    }
    return "  ".join(text.format(figures[name]) for name, text in shown.items() if name in figures)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
