"""Requests to databases as metrics, read by Prometheus' own parsers, and as rows of /totals."""

from __future__ import annotations

import json

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from cext.engine.databases import Statements
from dashboard.recent import passes
from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.lanes import Direction
from proxy.core.report.statement import StatementRecord, json_line
from proxy.core.report.totals import rows, summed
from proxy.core.report.wanted import wanted
from proxy.telemetry.databases import DatabaseCounts, Place
from tidegate.tapped import line

PLACES = {
    1: Place(Direction.OUTBOUND, "outbound|6379||cache.shop", "shop/cache", "10.0.0.9:6379", "splice"),
    2: Place(Direction.OUTBOUND, "PassthroughCluster", "-", "", "splice"),
}


def statements(group: int, database: str, kind: str, answered: int, failed: int) -> Statements:
    durations = [answered, failed] + [0] * 18
    return Statements(group, database, kind, answered, failed, 700 * (answered + failed), durations)


COUNTED = [
    statements(1, "redis", "GET", 5, 0),
    statements(1, "redis", "INCR", 2, 1),
    statements(2, "postgresql", "SELECT", 3, 0),
    statements(9, "mysql", "SELECT", 4, 0),
]
"""Nothing is known of the last one's group any more."""


@pytest.mark.parametrize("openmetrics", [False, True])
def test_metrics(openmetrics: bool) -> None:
    text = "".join(DatabaseCounts(lambda: COUNTED, PLACES.get).lines(openmetrics=openmetrics))
    families = parse_openmetrics(text + "# EOF\n") if openmetrics else parser.text_string_to_metric_families(text)
    samples = [one for family in families for one in family.samples]
    requests = {
        (one.labels["database"], one.labels["kind"], one.labels["status"]): one.value
        for one in samples
        if one.name == "tidegate_database_requests_total"
    }
    assert requests == {
        ("redis", "GET", "ok"): 5,
        ("redis", "INCR", "ok"): 2,
        ("redis", "INCR", "error"): 1,
        ("postgresql", "SELECT", "ok"): 3,
    }
    counts = {one.labels["kind"]: one.value for one in samples if one.name == "tidegate_database_request_seconds_count"}
    assert counts == {"GET": 5, "INCR": 3, "SELECT": 3}
    (total,) = (one.value for one in samples if one.name.endswith("seconds_sum") and one.labels["kind"] == "INCR")
    assert total == pytest.approx(0.0021)


RECORD = StatementRecord(
    1.0,
    Direction.OUTBOUND,
    "redis",
    "GET",
    False,
    1500,
    ClientAddress(Address("10.0.0.2", 5000)),
    OriginalDestination(Address("10.0.0.80", 6379)),
    UpstreamAddress(Address("10.0.0.9", 6379)),
    "shop/cache",
)


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        ({}, True),
        ({"service": "cache"}, True),
        ({"service": "other"}, False),
        ({"route": "redis GET"}, True),
        ({"route": "redis SET"}, False),
        ({"source": "10.0.0.2"}, True),
        ({"source": "10.0.0.3"}, False),
        ({"status": "2xx"}, False),
        ({"path": "/"}, False),
    ],
)
def test_filters(asked: dict[str, str], passed: bool) -> None:
    assert wanted(asked).takes_statement(RECORD) is passed
    told = json.loads(json_line(RECORD))
    assert passes(told, wanted(asked)) is passed


def test_a_line_for_people() -> None:
    told = json.loads(json_line(RECORD))
    assert line(told, None).endswith("-> ok 1.5ms redis GET 10.0.0.2:5000 to 10.0.0.9:6379 shop/cache")


def test_totals_have_a_row_for_each_kind() -> None:
    found = list(rows(summed(DatabaseCounts(lambda: COUNTED, PLACES.get).totals())))
    assert [(one["service"], one["route"], one["endpoint"], one["requests"], one["failed"]) for one in found] == [
        ("-", "postgresql SELECT", "", 3, 0),
        ("shop/cache", "redis GET", "10.0.0.9:6379", 5, 0),
        ("shop/cache", "redis INCR", "10.0.0.9:6379", 3, 1),
    ]
