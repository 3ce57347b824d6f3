"""The plots: medians as bars, lowest and highest round as whiskers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.summary import Run, figure

PLOTS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "bulk": ("Bulk throughput, Gbit/s", (("bulk1_gbit_s", "1 stream"), ("bulk4_gbit_s", "4 streams"))),
    "keepalive": ("Requests per second, 32 connections kept alive", (("keepalive_rps", "requests/s"),)),
    "latency": ("Latency at 32 connections, µs", (("keepalive_p50_us", "p50"), ("keepalive_p99_us", "p99"))),
    "short": ("Connections per second, one request each", (("short_conn_s", "connections/s"),)),
    "cpu-bulk": (
        "CPU milliseconds per GiB, 1 stream",
        (("bulk1_proxy_us_per_gib", "proxy"), ("bulk1_machine_us_per_gib", "whole machine")),
    ),
    "cpu-request": (
        "CPU microseconds per request",
        (("keepalive_proxy_us_per_request", "proxy"), ("keepalive_machine_us_per_request", "whole machine")),
    ),
    "cpu-connection": (
        "CPU microseconds per connection",
        (("short_proxy_us_per_connection", "proxy"), ("short_machine_us_per_connection", "whole machine")),
    ),
    "memory": (
        "Memory of the proxy, MiB (PSS)",
        (("memory_idle_bytes", "idle"), ("memory_1000_bytes", "1,000"), ("memory_most_bytes", "the most connections")),
    ),
}
_SCALES = {"cpu-bulk": 1e-3, "memory": 1 / (1 << 20)}
_COLOURS = ("#2b6f8f", "#8fbf6b", "#d9a441")


def draw(contestants: Mapping[str, str], runs: Sequence[Run], folder: Path) -> list[str]:
    """Write one PNG for each plot that has figures; their names, in order."""
    drawn = []
    for name, (title, series) in PLOTS.items():
        if _draw(name, title, series, contestants, runs=runs, path=folder / f"{name}.png"):
            drawn.append(name)
    return drawn


def _draw(
    name: str,
    title: str,
    series: Sequence[tuple[str, str]],
    contestants: Mapping[str, str],
    *,
    runs: Sequence[Run],
    path: Path,
) -> bool:
    # Not pyplot: it costs half a second, for windows that nobody opens.
    from matplotlib.figure import Figure

    scale = _SCALES.get(name, 1.0)
    names = [one for one in contestants if any(figure(runs, one, key) for key, _ in series)]
    if not names:
        return False
    height = 0.8 / len(series)
    shape = Figure(figsize=(8, 0.6 + 0.26 * len(names) * (1 + len(series))), dpi=110)
    axes = shape.subplots()
    for index, (key, label) in enumerate(series):
        known = [(place, one) for place, who in enumerate(names) if (one := figure(runs, who, key)) is not None]
        middle = [one.median * scale for _, one in known]
        axes.barh(
            [place + (index - (len(series) - 1) / 2) * height for place, _ in known],
            middle,
            height=height,
            label=label,
            color=_COLOURS[index],
            xerr=[
                [m - one.low * scale for m, (_, one) in zip(middle, known, strict=True)],
                [one.high * scale - m for m, (_, one) in zip(middle, known, strict=True)],
            ],
            error_kw={"linewidth": 0.8, "capsize": 2},
        )
    axes.set_yticks(range(len(names)), [contestants[one] for one in names])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_title(title, fontsize=11)
    if len(series) > 1:
        axes.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, -0.05), ncol=len(series), frameon=False)
    shape.tight_layout()
    # No date and version inside: the same figures make the same file.
    shape.savefig(path, metadata={"Software": None})
    return True
