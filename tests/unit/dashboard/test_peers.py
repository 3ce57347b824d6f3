"""Who is at the other end, and the map's edges."""

from __future__ import annotations

from typing import Any

from dashboard.peers import MOST, OTHERS, Peer, Peers
from dashboard.traffic import edges, table
from dashboard.watch import together

CLAIMED = {"10.0.0.80:80": "shop/web"}


def connection(**more: Any) -> dict[str, Any]:
    return {
        "direction": "outbound",
        "downstream": "10.0.0.2:5000",
        "original_destination": "10.9.9.9:5432",
        "lane": "splice",
        "close_reason": "finished",
        **more,
    }


def request(**more: Any) -> dict[str, Any]:
    return {
        "direction": "outbound",
        "method": "GET",
        "status": 200,
        "duration_ms": 2.0,
        "service": "-",
        "source": "10.0.0.2:5000",
        "upstream": "10.9.9.9:80",
        **more,
    }


def test_only_what_no_service_claims_is_counted_outbound() -> None:
    peers = Peers()
    peers.add(connection(), CLAIMED)
    peers.add(connection(original_destination="10.0.0.80:80"), CLAIMED)
    peers.add(request(), CLAIMED)
    peers.add(request(service="shop/web"), CLAIMED)
    found = peers.turn()
    assert set(found) == {Peer("outbound", "10.9.9.9:5432", "splice"), Peer("outbound", "10.9.9.9:80", "parsed")}


def test_callers_are_told_apart_by_their_address_and_failures_are_seen() -> None:
    peers = Peers()
    for status in (200, 200, 503, 0):
        peers.add(request(direction="inbound", source="[fd00::7]:1", status=status), CLAIMED)
    peers.add(connection(direction="inbound", downstream="[fd00::7]:1", lane="parsed"), CLAIMED)
    ((peer, seen),) = peers.turn().items()
    assert (peer.address, seen.ended, seen.failed, seen.unit) == ("fd00::7", 4, 2, "requests")
    ((_, later),) = peers.turn().items()
    assert (later.ended, later.failed, later.total) == (0, 0, 4)


def test_no_more_peers_are_kept_than_there_is_room_for() -> None:
    peers = Peers()
    for number in range(10 * MOST):
        peers.add(connection(original_destination=f"10.9.{number // 250}.{number % 250}:1"), CLAIMED)
    found = peers.turn()
    assert len(found) == MOST + 1
    assert found[Peer("outbound", OTHERS, "splice")].ended == 9 * MOST
    for _ in range(10_000):
        peers.add(request(), CLAIMED)
    assert max(len(one.durations_ms) for one in peers.turn().values()) < 1000


def test_turns_add_up() -> None:
    peers = Peers()
    turns = []
    for _ in range(3):
        peers.add(request(), CLAIMED)
        turns.append(peers.turn())
    ((_, seen),) = together(turns).items()
    assert (seen.ended, seen.total, seen.durations_ms) == (3, 3, [2.0] * 3)


def row(**more: Any) -> dict[str, Any]:
    durations = [0] * 20
    durations[2] = more.get("requests", 0)
    return {
        "direction": "outbound",
        "service": "shop/web",
        "route": "-",
        "endpoint": "10.0.0.1:1",
        "lane": "parsed",
        "requests": 0,
        "connections": 0,
        "failed": 0,
        "open": 0,
        "bytes_sent": 0,
        "bytes_received": 0,
        "durations": durations,
        **more,
    }


def test_an_edge_has_the_numbers_of_all_its_endpoints() -> None:
    now = [row(requests=30, open=1), row(requests=10, failed=10, endpoint="10.0.0.2:1"), row(service="-", requests=7)]
    rows = table("here", [row(), row(endpoint="10.0.0.2:1")], now, 10)
    (edge,) = edges(rows, {}, {}, 10)
    assert (edge["peer"], edge["per_s"], edge["success"], edge["total"], edge["open"]) == ("shop/web", 4, 0.75, 40, 1)
    assert {one["requests"] for one in rows} == {30, 10, 7}


def test_a_database_has_requests_and_the_connections_that_carry_them() -> None:
    now = [row(connections=3, open=3, lane="splice"), row(requests=50, route="redis GET", lane="splice")]
    (edge,) = edges(table("here", [], now, 10), {}, {}, 10)
    assert (edge["unit"], edge["per_s"], edge["open"], edge["total"]) == ("requests", 5, 3, 50)


def test_what_is_only_open_is_an_edge_too() -> None:
    (edge,) = edges([], {}, {Peer("outbound", "10.9.9.9:5432", "splice"): 3}, 5)
    assert (edge["peer"], edge["open"], edge["per_s"]) == ("10.9.9.9:5432", 3, 0)
    assert (edge["success"], edge["p50_ms"]) == (None, None)
