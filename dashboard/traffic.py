"""The map's edges and the table of traffic, from a proxy's totals, its open connections and the peers seen."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dashboard.peers import Peer, Seen
from proxy.core.report.rates import rates

Row = Mapping[str, Any]
COUNTS = ("requests", "connections", "failed")


def table(proxy: str, before: Iterable[Row], now: Sequence[Row], seconds: float) -> list[dict[str, Any]]:
    """What `top` shows, with the counts since the proxy's start beside the rates. The busiest first."""
    counted = {_key(row): row for row in now}
    return [
        one.as_dict() | {name: counted[_key(one.as_dict())][name] for name in COUNTS}
        for one in rates(before, now, seconds, proxy)
    ]


def edges(rows: Iterable[Row], peers: Mapping[Peer, Seen], live: Mapping[Peer, int], seconds: float) -> list[Any]:
    """Outbound: an edge for each Service and lane, with the exact numbers of the totals, and one for each other
    destination. Inbound: one for each client. Those come from the stream of what ends, and from open connections."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["direction"] == "outbound" and row["service"] != "-":
            found.setdefault((row["service"], row["lane"]), []).append(row)
    made = [_of_service(some) for some in found.values()]
    for peer in sorted({*peers, *live}):
        made.append(_of_peer(peer, peers.get(peer, Seen()), live.get(peer, 0), seconds))
    return made


def _of_service(rows: Sequence[Row]) -> dict[str, Any]:
    """Where requests are seen, connections count as open only: they carry the requests."""
    unit = "requests" if any(row["unit"] == "requests" for row in rows) else "connections"
    counted = [row for row in rows if row["unit"] == unit]
    per_s = sum(row["per_s"] for row in counted)
    failing = sum(row["per_s"] * (1 - row["success"]) for row in counted if row["success"] is not None)
    return {
        "direction": "outbound",
        "peer": rows[0]["service"],
        "lane": rows[0]["lane"],
        "unit": unit,
        "per_s": per_s,
        "success": 1 - failing / per_s if per_s else None,
        # Quantiles can't be added; the worst row's is shown.
        "p50_ms": max((row["p50_ms"] for row in counted if row["p50_ms"] is not None), default=None),
        "p95_ms": max((row["p95_ms"] for row in counted if row["p95_ms"] is not None), default=None),
        "open": sum(row["open"] for row in rows),
        "total": sum(row[unit] for row in counted),
    }


def _of_peer(peer: Peer, seen: Seen, is_open: int, seconds: float) -> dict[str, Any]:
    durations = sorted(seen.durations_ms)
    return {
        "direction": peer.direction,
        "peer": peer.address,
        "lane": peer.lane,
        "unit": seen.unit,
        "per_s": seen.ended / seconds,
        "success": None if not seen.ended else 1 - seen.failed / seen.ended,
        "p50_ms": _at(durations, 0.5),
        "p95_ms": _at(durations, 0.95),
        "open": is_open,
        "total": seen.total,
    }


def _at(durations: Sequence[float], share: float) -> float | None:
    return durations[min(int(share * len(durations)), len(durations) - 1)] if durations else None


def _key(row: Row) -> tuple[Any, ...]:
    return (row["direction"], row["service"], row["route"], row["endpoint"], row["lane"])
