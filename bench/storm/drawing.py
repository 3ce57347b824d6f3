"""The plots of docs/resilience.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.storm.scenarios import LASTS_S, STORM
from bench.storm.world import Counted

PLOTS: dict[str, tuple[str, Sequence[str]]] = {
    "storm-retries": ("Retries in an overload", ("nothing", "retries without a budget", "retries")),
    "storm-hedging": ("Hedging in an overload", ("nothing", "hedging without budget and breaker", "hedging")),
    "storm-ejection": ("Ejection in an overload", ("nothing", "ejection without a cap", "ejection")),
    "storm-all": ("All three in an overload", ("nothing", "all without limits", "all")),
}
_COLOURS = ("#777777", "#d9a441", "#2b6f8f")


def draw(runs: Mapping[str, Counted], folder: Path) -> None:
    """A PNG for each plot: attempts for each request, and the part of the requests that got an answer in time."""
    # Not pyplot: it costs half a second, for windows that nobody opens.
    from matplotlib.figure import Figure

    for name, (title, cases) in PLOTS.items():
        shape = Figure(figsize=(8, 4.5), dpi=110)
        upper, lower = shape.subplots(2, 1, sharex=True)
        for case, colour in zip(cases, _COLOURS, strict=True):
            one = runs[case]
            seconds = [second for second in range(LASTS_S) if one.offered.get(second)]
            for axes, counts in ((upper, one.attempts), (lower, one.good)):
                axes.plot(seconds, [counts.get(at, 0) / one.offered[at] for at in seconds], label=case, color=colour)
        for axes in (upper, lower):
            axes.axvspan(*STORM, color="#eeeeee")
            axes.set_ylim(bottom=0)
        upper.set_title(title, fontsize=11)
        upper.set_ylabel("attempts a request", fontsize=8)
        lower.set_ylabel("answered in time", fontsize=8)
        lower.set_xlabel("seconds; grey: the load is 1.3 times what the endpoints can do", fontsize=8)
        upper.legend(fontsize=8, frameon=False)
        shape.tight_layout()
        # No date and version inside: the same figures make the same file.
        shape.savefig(folder / f"{name}.png", metadata={"Software": None})
