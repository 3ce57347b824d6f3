"""From raw figures of interleaved rounds to medians, spread and ratios. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """What one contestant did in one round."""

    round: int
    contestant: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    low: float
    high: float
    count: int


def spread(values: Iterable[float]) -> Spread | None:
    """None: there are no values."""
    known = sorted(values)
    return Spread(statistics.median(known), known[0], known[-1], len(known)) if known else None


def figure(runs: Sequence[Run], contestant: str, name: str) -> Spread | None:
    return spread(run.figures[name] for run in runs if run.contestant == contestant and name in run.figures)


def ratio(runs: Sequence[Run], contestant: str, against: str, name: str) -> Spread | None:
    """Of the contestant's figure to another's in the same round: what the machine did meanwhile hit both alike."""
    base = {run.round: run.figures[name] for run in runs if run.contestant == against and run.figures.get(name)}
    return spread(
        run.figures[name] / base[run.round]
        for run in runs
        if run.contestant == contestant and name in run.figures and run.round in base
    )


def summary(runs: Sequence[Run], bases: Sequence[str]) -> dict[str, dict[str, dict[str, object]]]:
    """contestant -> figure -> median, low, high, count, and the median ratio to each base; as JSON keeps it."""
    found: dict[str, dict[str, dict[str, object]]] = {}
    for contestant in dict.fromkeys(run.contestant for run in runs):
        names = dict.fromkeys(name for run in runs if run.contestant == contestant for name in run.figures)
        for name in names:
            one = figure(runs, contestant, name)
            if one is None:
                continue
            ratios = {base: ratio(runs, contestant, base, name) for base in bases}
            found.setdefault(contestant, {})[name] = {
                "median": one.median,
                "low": one.low,
                "high": one.high,
                "count": one.count,
                "ratios": {base: round(r.median, 4) for base, r in ratios.items() if r is not None},
            }
    return found
