"""Requests in a run's report and summary: whole, bounded, within 80 columns."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.report.request_fields import report as told
from tests.unit.proxy.core.report.requests import request
from tests.unit.tidegate.build import LONGEST
from tidegate.supervise import report, requests
from tidegate.supervise.requests import Requests, table
from tidegate.supervise.summary import summary

REQUESTS = st.lists(
    st.builds(
        lambda **given: {"event": "request", **told(request(**given))},
        route=st.sampled_from(["-", "ns/canary", "a-namespace-with-a-long-name/a-route-with-a-long-name-too"]),
        service=st.sampled_from(["-", "ns/shop"]),
        authority=st.sampled_from(["-", "shop", LONGEST, "x" * 255]),
        status=st.sampled_from([0, 200, 404, 503]),
        flags=st.sampled_from(["-", "UF,URX", "UH,UT,LR,UR,UF,UC,UO,NR"]),
        duration_us=st.integers(0, 10**13),
    ),
    max_size=60,
)


def document(found: Requests) -> dict[str, Any]:
    return report.as_document(["curl"], 0, "nftables", [], duration_ms=1.0, requests=found)


@given(REQUESTS, st.integers(0, 10**7))
def test_the_table_fits_and_counts_each(found: list[dict[str, Any]], left_out: int) -> None:
    text = summary(document(Requests(found, left_out)))
    assert all(len(line) <= 80 for line in text.splitlines())
    rows = table(found, 0)[2:]
    counted = sum(int(row[55:].split()[0]) for row in rows if row.startswith(("->", "<-")))
    assert counted == len(found) or any(row.startswith("…") for row in rows)


def test_rows_tell_where_to_and_how_it_was_answered() -> None:
    found = [told(request(duration_us=1000))] * 98 + [told(request(status=503, flags="UF,URX", duration_us=9_000_000))]
    lines = table(found, 3)
    assert lines[2].split() == ["->", "ns/canary", "200", "98", "1.0ms", "1.0ms"]
    assert lines[3].split() == ["->", "ns/canary", "503", "UF,URX", "1", "9000ms", "9000ms"]
    assert "3 requests more" in lines[4]
    assert table([], 0) == []


def test_the_report_has_the_contracts_keys() -> None:
    made = document(Requests([{"event": "request", **told(request())}], left_out=2))
    (one,) = made["requests"]
    assert one.keys() >= {"method", "authority", "path", "status", "duration_ms", "upstream", "attempts"}
    assert "event" not in one
    assert (made["summary"]["requests"], made["summary"]["requests_left_out"]) == (3, 2)


def test_a_report_holds_a_bounded_number(monkeypatch: Any) -> None:
    monkeypatch.setattr(requests, "MOST", 3)
    found = Requests()
    for _ in range(5):
        found.add({})
    assert (len(found.kept), found.left_out) == (3, 2)
    both = found + Requests([{}] * 2, 1)
    assert (len(both.kept), both.left_out) == (3, 5)
