"""The report of a run: what it adds up, what it shows, and that the file is whole or absent."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.supervise import report

CONNECTION_KEYS = {
    "direction", "original_destination", "upstream", "protocol", "lane",
    "bytes_sent", "bytes_received", "duration_ms", "close_reason",
}  # fmt: skip

records = st.lists(
    st.fixed_dictionaries(
        {
            "event": st.just("connection"),
            "direction": st.sampled_from(["outbound", "inbound"]),
            "original_destination": st.sampled_from(["10.0.0.1:80", "[fd00::1]:443", "10.0.0.9:6379"]),
            "upstream": st.just("10.0.0.1:80"),
            "protocol": st.sampled_from(["tcp", "http"]),
            "lane": st.sampled_from(["splice", "parsed"]),
            "bytes_sent": st.integers(0, 2**50),
            "bytes_received": st.integers(0, 2**50),
            "duration_ms": st.floats(0, 1e9),
            "close_reason": st.sampled_from(["finished", "upstream-reset"]),
            "state": st.just("closed"),
            "age_ms": st.just(1),
            "lane_reason": st.just("no policy"),
        }
    ),
    max_size=30,
)


def document(connections: list[dict[str, Any]]) -> dict[str, Any]:
    return report.as_document(["curl", "-s"], 0, "nftables", connections, 12.5)


@given(records)
def test_the_document_has_the_contracts_keys_and_adds_up(connections: list[dict[str, Any]]) -> None:
    made = json.loads(json.dumps(document(connections)))
    assert set(made) == {"command", "exit_code", "mode", "summary", "connections", "requests"}
    assert made["summary"]["connections"] == len(connections)
    assert made["summary"]["bytes_sent"] == sum(c["bytes_sent"] for c in connections)
    for connection in made["connections"]:
        assert set(connection) >= CONNECTION_KEYS
        assert "event" not in connection


@given(records)
def test_grouping_loses_nothing(connections: list[dict[str, Any]]) -> None:
    talks = report.by_destination(connections)
    assert sum(talk.connections for talk in talks.values()) == len(connections)
    assert sum(talk.bytes_received for talk in talks.values()) == sum(c["bytes_received"] for c in connections)
    volumes = [talk.bytes_sent + talk.bytes_received for talk in talks.values()]
    assert volumes == sorted(volumes, reverse=True)


@given(records)
def test_the_summary_names_every_destination(connections: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    report.print_summary(document(connections), text)
    for connection in connections:
        assert connection["original_destination"] in text.getvalue()


def test_a_report_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    report.write(target, document([]))
    before = target.read_text()
    with pytest.raises(TypeError):
        report.write(target, {"bad": object()})
    assert target.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
