"""The report of a run: what it adds up, what it shows, and that the file is whole or absent."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tests.unit.tidegate.build import records
from tidegate.supervise import report

CONNECTION_KEYS = {
    "direction", "original_destination", "upstream", "protocol", "lane",
    "bytes_sent", "bytes_received", "duration_ms", "close_reason",
}  # fmt: skip


def document(connections: list[dict[str, Any]]) -> dict[str, Any]:
    return report.as_document(["curl", "-s"], 0, "nftables", connections, duration_ms=12.5)


@given(records)
def test_the_document_has_the_contracts_keys_and_adds_up(connections: list[dict[str, Any]]) -> None:
    made = json.loads(json.dumps(document(connections)))
    assert set(made) == {
        "command",
        "exit_code",
        "mode",
        "summary",
        "connections",
        "requests",
        "not_captured",
        "seen_not_captured",
    }
    assert made["summary"]["connections"] == len(connections)
    assert made["summary"]["bytes_sent"] == sum(c["bytes_sent"] for c in connections)
    for connection in made["connections"]:
        assert set(connection) >= CONNECTION_KEYS
        assert "event" not in connection


def test_a_report_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    report.write(target, document([]))
    before = target.read_text()
    with pytest.raises(TypeError):
        report.write(target, {"bad": object()})
    assert target.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
