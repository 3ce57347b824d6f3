"""From two looks at a proxy's totals to what `top` shows: rates, success, latencies. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from proxy.core.report.totals import BOUNDS_MS

Row = Mapping[str, Any]
_COUNTED = ("requests", "connections", "failed", "bytes_sent", "bytes_received")


class Rate(NamedTuple):
    """per_s: requests, or connections where no requests are seen. success: the share that did not fail; None: nothing
    happened. Milliseconds are None where no request ended."""

    proxy: str
    direction: str
    service: str
    route: str
    endpoint: str
    lane: str
    unit: str
    per_s: float
    success: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    open: int
    bytes_sent_per_s: float
    bytes_received_per_s: float

    def as_dict(self) -> dict[str, Any]:
        return self._asdict()


def rates(before: Iterable[Row], now: Iterable[Row], seconds: float, proxy: str = "") -> list[Rate]:
    """The busiest first. Rows that were there before and rest are shown, too. A proxy that was started anew counts from
    0: its totals have gone back, and all that it has counted happened since."""
    earlier = {_key(row): row for row in before}
    found = [_rate(earlier.get(_key(row)), row, seconds, proxy) for row in now]
    return sorted(found, key=lambda one: (-one.per_s, one.direction, one.service, one.route, one.endpoint))


def quantile(durations: Sequence[int], share: float) -> float | None:
    """Within the bucket that it falls into, as if that were filled evenly; the last one counts as its lower bound.
    None: there are no durations."""
    counts = list(accumulate(durations))
    if not counts or counts[-1] == 0:
        return None
    wanted = share * counts[-1]
    index = next(number for number, count in enumerate(counts) if count >= wanted)
    lower = BOUNDS_MS[index - 1] if index else 0.0
    if index >= len(BOUNDS_MS):
        return lower
    below = counts[index - 1] if index else 0
    return lower + (BOUNDS_MS[index] - lower) * (wanted - below) / durations[index]


def _key(row: Row) -> tuple[str, str, str, str, str]:
    return (row["direction"], row["service"], row["route"], row["endpoint"], row["lane"])


def _rate(before: Row | None, now: Row, seconds: float, proxy: str) -> Rate:
    if before is not None and any(now[name] < before[name] for name in _COUNTED):
        before = None
    more = {name: now[name] - (before[name] if before else 0) for name in _COUNTED}
    earlier = before["durations"] if before else [0] * len(now["durations"])
    durations = [b - a for a, b in zip(earlier, now["durations"], strict=True)]
    unit = "requests" if now["requests"] else "connections"
    # A connection that could not be made is in `failed` only; a request that failed is in both.
    ended = more["requests"] if unit == "requests" else more["connections"] + more["failed"]
    return Rate(
        proxy,
        *_key(now),
        unit,
        ended / seconds,
        1 - more["failed"] / ended if ended else None,
        quantile(durations, 0.5),
        quantile(durations, 0.95),
        quantile(durations, 0.99),
        now["open"],
        more["bytes_sent"] / seconds,
        more["bytes_received"] / seconds,
    )
