"""Requests to databases as metrics, read by Prometheus' own parsers, and as rows of /totals."""

from __future__ import annotations

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from cext.engine.databases import Statements
from proxy.core.lanes import Direction
from proxy.core.report.totals import rows, summed
from proxy.telemetry.databases import DatabaseCounts, Place

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


def test_totals_have_a_row_for_each_kind() -> None:
    found = list(rows(summed(DatabaseCounts(lambda: COUNTED, PLACES.get).totals())))
    assert [(one["service"], one["route"], one["endpoint"], one["requests"], one["failed"]) for one in found] == [
        ("-", "postgresql SELECT", "", 3, 0),
        ("shop/cache", "redis GET", "10.0.0.9:6379", 5, 0),
        ("shop/cache", "redis INCR", "10.0.0.9:6379", 3, 1),
    ]
