"""The table at the end of a run: it fits, it cuts no destination, and its numbers are those of the connections."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tidegate.build import LONGEST, records
from tidegate.supervise.columns import WIDTH, duration, percentile, size
from tidegate.supervise.report import as_document
from tidegate.supervise.summary import by_destination, summary


def document(connections: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return as_document(["curl", "-s"], 0, "nftables", connections, duration_ms=12.5) | more


def record(destination: str, **other: Any) -> dict[str, Any]:
    known = {"direction": "outbound", "original_destination": destination, "protocol": "tcp", "lane": "splice"}
    measured = {"bytes_sent": 1, "bytes_received": 2, "duration_ms": 1.0, "close_reason": "finished"}
    return known | measured | other


@given(records)
def test_it_fits_and_cuts_no_destination(connections: list[dict[str, Any]]) -> None:
    text = summary(document(connections))
    assert max(map(len, text.splitlines())) <= WIDTH
    for connection in connections:
        assert connection["original_destination"] in text


@given(records)
def test_grouping_loses_nothing(connections: list[dict[str, Any]]) -> None:
    talks = by_destination(connections)
    assert sum(talk.connections for talk in talks.values()) == len(connections)
    assert sum(talk.bytes_received for talk in talks.values()) == sum(c["bytes_received"] for c in connections)
    volumes = [talk.bytes_sent + talk.bytes_received for talk in talks.values()]
    assert volumes == sorted(volumes, reverse=True)


def test_time_is_that_of_connections_and_no_sum() -> None:
    lines = summary(document([record("10.0.0.1:80", duration_ms=float(n)) for n in range(100, 200)])).splitlines()
    assert lines[2].split()[-2:] == ["p50", "p99"]
    assert lines[3].split()[-2:] == ["149ms", "198ms"]


def test_a_row_names_its_processes_and_how_connections_ended() -> None:
    rows = [record("10.0.0.1:80"), record("10.0.0.1:80", close_reason="upstream-refused")]
    made = document(rows)
    for connection in made["connections"]:
        connection["processes"] = ["curl"]
    lines = summary(made).splitlines()
    assert lines[3].split()[:4] == ["->", "10.0.0.1:80", "curl", "splice"]
    assert lines[4].strip() == "1 upstream-refused"


def test_what_was_not_captured_is_told_whole() -> None:
    left_out = [
        {"protocol": "udp", "destination": LONGEST, "count": 3, "reason": "UDP", "processes": []},
        {
            "protocol": "tcp",
            "destination": "127.0.0.1:80",
            "count": 1,
            "reason": "loopback",
            "processes": ["curl"],
        },
    ]
    text = summary(document([], seen_not_captured=left_out, not_captured=["inbound: no such match"]))
    assert f"3 UDP packets to {LONGEST}" in " ".join(text.split())
    assert "1 connection to 127.0.0.1:80 by curl: loopback" in text
    assert "not captured: inbound: no such match" in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_nothing_is_claimed_where_nothing_is_known() -> None:
    assert summary(document([])) == "tidegate: 0 connections captured (nftables)\n"


@given(st.lists(st.floats(0, 1e9), min_size=1), st.integers(1, 100))
def test_so_many_percent_are_not_above_the_percentile(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1000 << 10, "1.0 MiB"), (64 << 20, "64.0 MiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@given(st.integers(0, 2**59), st.floats(0, 8e9))
def test_they_fit_their_columns(count: int, milliseconds: float) -> None:
    assert len(size(count)) <= 8
    assert len(duration(milliseconds)) <= 6
