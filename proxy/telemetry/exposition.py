"""Lines of Prometheus' text formats for metrics of many series: written straight from numbers, because an object for
each of a histogram's twenty samples costs thirty times as much."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from proxy.core.report.totals import BOUNDS_MS

ISTIO_BOUNDS = (*map(str, BOUNDS_MS), "+Inf")
"""Upper bounds of the engine's buckets (cext/engine/tell/buckets.c): Envoy's own, which Istio leaves as they are."""
PROXY_BOUNDS = (
    "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "+Inf",
)  # fmt: skip
"""In seconds."""
SECONDS_BOUNDS = (*(str(bound / 1000) for bound in BOUNDS_MS), "+Inf")
"""ISTIO_BOUNDS for times that are told in seconds."""


def labelled(labels: Mapping[str, str]) -> str:
    """As they stand between braces."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def header(name: str, kind: str, text: str, *, openmetrics: bool) -> str:
    """name: that of the samples. OpenMetrics calls the family of a counter by its name without `_total`."""
    family = name.removesuffix("_total") if openmetrics else name
    return f"# HELP {family} {text}\n# TYPE {family} {kind}\n"


def sample(name: str, labels: str, value: float) -> str:
    return f"{name}{{{labels}}} {float(value)!r}\n" if labels else f"{name} {float(value)!r}\n"


def histogram(name: str, labels: str, bounds: Sequence[str], buckets: Sequence[int], total: float) -> str:
    """buckets: not cumulative, the last one without a bound. total: the sum of all values."""
    counts = list(accumulate(buckets))
    lines = [f'{name}_bucket{{{labels},le="{bound}"}} {count}.0\n' for bound, count in zip(bounds, counts, strict=True)]
    return "".join(lines) + f"{name}_count{{{labels}}} {counts[-1]}.0\n{name}_sum{{{labels}}} {float(total)!r}\n"


def in_slices(lines: Iterator[str], size: int = 65_536) -> Iterator[bytes]:
    """The lines in pieces of about so many characters."""
    piece: list[str] = []
    length = 0
    for line in lines:
        piece.append(line)
        length += len(line)
        if length >= size:
            yield "".join(piece).encode()
            piece, length = [], 0
    yield "".join(piece).encode()


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
