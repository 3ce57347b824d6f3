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
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        if row["direction"] == "outbound" and row["service"] != "-":
            _add(found.setdefault(("outbound", row["service"], row["lane"]), _new(row)), row)
    made = list(found.values())
    for edge in made:
        edge["success"] = None if not edge["per_s"] else 1 - edge.pop("failing") / edge["per_s"]
        edge.pop("failing", None)
    for peer in sorted({*peers, *live}):
        made.append(_of_peer(peer, peers.get(peer, Seen()), live.get(peer, 0), seconds))
    return made


def _new(row: Row) -> dict[str, Any]:
    return {
        "direction": row["direction"],
        "peer": row["service"],
        "lane": row["lane"],
        "unit": row["unit"],
        "per_s": 0.0,
        "failing": 0.0,
        "success": None,
        "p50_ms": None,
        "p95_ms": None,
        "open": 0,
        "total": 0,
    }


def _add(edge: dict[str, Any], row: Row) -> None:
    edge["per_s"] += row["per_s"]
    edge["failing"] += row["per_s"] * (1 - row["success"]) if row["success"] is not None else 0
    edge["open"] += row["open"]
    edge["total"] += row[row["unit"]]
    for name in ("p50_ms", "p95_ms"):
        # Quantiles can't be added; the worst endpoint's is shown.
        edge[name] = max((one for one in (edge[name], row[name]) if one is not None), default=None)


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
