"""Who is at the other end of connections that no Service claims, and who calls the workload: counted from the stream of
what ends, for the map. Bounded: beyond MOST peers the others are counted together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MOST = 100
OTHERS = "others"
SAMPLES = 256
"""Durations that are kept of one peer and turn; a quantile of them is an estimate."""


class Peer(NamedTuple):
    direction: str
    address: str
    """Inbound: the client's IP. Outbound: the original destination, `ip:port`."""
    lane: str


@dataclass(slots=True)
class Seen:
    unit: str = "connections"
    ended: int = 0
    failed: int = 0
    total: int = 0
    """Since the page's process has watched; `ended` and `failed` are of this turn."""
    durations_ms: list[float] = field(default_factory=list)


FINE = frozenset({"finished", "draining", "idle", "lifetime"})


class Peers:
    def __init__(self) -> None:
        self._seen: dict[Peer, Seen] = {}

    def add(self, told: Mapping[str, Any], claimed: Mapping[str, str]) -> None:
        """told: an object of /tap. claimed: Services by their addresses; they have rows of their own."""
        peer = peer_of(told, claimed)
        if peer is None:
            return
        if peer not in self._seen and len(self._seen) >= MOST:
            peer = Peer(peer.direction, OTHERS, peer.lane)
        seen = self._seen.setdefault(peer, Seen())
        is_request = "method" in told or "database" in told
        if is_request:
            seen.unit = "requests"
        elif seen.unit == "requests":
            return  # a connection that carried the requests which are counted
        seen.ended += 1
        seen.total += 1
        seen.failed += _failed(told)
        if len(seen.durations_ms) < SAMPLES and is_request:
            seen.durations_ms.append(told["duration_ms"])

    def turn(self) -> dict[Peer, Seen]:
        """What was counted since the last turn; a new one begins."""
        found = dict(self._seen)
        for peer, one in found.items():
            self._seen[peer] = Seen(unit=one.unit, total=one.total)
        return found


def peer_of(told: Mapping[str, Any], claimed: Mapping[str, str]) -> Peer | None:
    """None: a Service's row tells of it."""
    lane = "parsed" if "method" in told else "splice" if "database" in told else str(told.get("lane", ""))
    if told.get("direction") == "inbound":
        return Peer("inbound", ip_of(str(told.get("source") or told.get("downstream") or "")), lane)
    if "method" in told:
        return Peer("outbound", str(told["upstream"]), lane) if told.get("service") == "-" else None
    at = str(told.get("original_destination", ""))
    return None if at in claimed or told.get("service", "-") not in ("", "-") else Peer("outbound", at, lane)


def ip_of(address: str) -> str:
    return address.rpartition(":")[0].strip("[]") or address


def _failed(told: Mapping[str, Any]) -> bool:
    if "database" in told:
        return bool(told["outcome"] == "error")
    if "method" in told:
        return bool(told["status"] >= 500 or told["status"] == 0)
    return told.get("close_reason") not in FINE
