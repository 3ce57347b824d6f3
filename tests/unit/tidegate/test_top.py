"""From two looks at totals to what `top` shows."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from proxy.core.report.rates import quantile, rates
from proxy.core.report.totals import BOUNDS_MS
from tidegate.toplines import TopTable, plain, row

BUCKETS = len(BOUNDS_MS) + 1


def total(**values: Any) -> dict[str, Any]:
    usual = {
        "direction": "outbound", "service": "shop/cart", "route": "-", "endpoint": "10.0.0.1:80", "lane": "parsed",
        "requests": 0, "connections": 0, "failed": 0, "open": 0, "bytes_sent": 0, "bytes_received": 0,
        "durations": [0] * BUCKETS,
    }  # fmt: skip
    return {**usual, **values}


def durations(**buckets: int) -> list[int]:
    found = [0] * BUCKETS
    for name, count in buckets.items():
        found[int(name[1:])] = count
    return found


def test_what_happened_between_two_looks() -> None:
    before = total(requests=100, failed=10, bytes_sent=1000, durations=durations(b2=100))
    now = total(requests=140, failed=20, bytes_sent=3000, durations=durations(b2=130, b3=10))
    (one,) = rates([before], [now], 2.0)
    assert (one.unit, one.per_s, one.success, one.bytes_sent_per_s) == ("requests", 20.0, 0.75, 1000.0)
    assert one.p50_ms is not None
    assert 1.0 < one.p50_ms < 5.0
    assert one.p99_ms is not None
    assert 5.0 < one.p99_ms <= 10.0


def test_what_rests_is_still_shown() -> None:
    (one,) = rates([total(requests=5)], [total(requests=5)], 1.0)
    assert (one.per_s, one.success, one.p50_ms) == (0.0, None, None)


def test_connections_that_could_not_be_made_count_as_failed() -> None:
    before, now = total(lane="splice"), total(lane="splice", connections=3, failed=1, open=2)
    (one,) = rates([before], [now], 1.0)
    assert (one.unit, one.per_s, one.success, one.open) == ("connections", 4.0, 0.75, 2)


def test_a_proxy_that_was_started_anew_has_counted_all_of_it_since() -> None:
    (one,) = rates([total(requests=1000)], [total(requests=7)], 1.0)
    assert one.per_s == 7.0


def test_the_busiest_comes_first() -> None:
    found = rates([], [total(requests=1), total(requests=9, service="shop/pay")], 1.0)
    assert [one.service for one in found] == ["shop/pay", "shop/cart"]


@given(st.lists(st.integers(0, 1000), min_size=BUCKETS, max_size=BUCKETS), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_that_it_falls_into(counts: list[int], share: float) -> None:
    found = quantile(counts, share)
    if not sum(counts):
        assert found is None
        return
    values = [bound for bound, count in zip((*BOUNDS_MS, BOUNDS_MS[-1]), counts, strict=True) for _ in range(count)]
    index = min(len(values) - 1, int(share * len(values)))
    lower = max((bound for bound in (0.0, *BOUNDS_MS) if bound < values[index]), default=0.0)
    assert found is not None
    assert found <= values[index] + 1e-9
    assert found >= lower - 1e-9 or values[max(0, index - 1)] < values[index]


@given(st.lists(st.integers(0, 1000), min_size=BUCKETS, max_size=BUCKETS))
def test_quantiles_never_go_back(counts: list[int]) -> None:
    found = [quantile(counts, share) for share in (0.1, 0.5, 0.9, 0.99)]
    known = [value for value in found if value is not None]
    assert known == sorted(known)


def test_without_a_terminal_nothing_is_cut() -> None:
    found = rates([], [total(requests=4, failed=1, service="shop/" + "a" * 200)], 1.0)
    header, line = plain(found, several=False)
    assert header.split() == [
        "service",
        "route",
        "endpoint",
        "lane",
        "/s",
        "ok",
        "p50",
        "p95",
        "p99",
        "sent/s",
        "recv/s",
    ]
    assert "a" * 200 in line
    assert "75.0%" in line
    assert plain([], several=False) == ["nothing has gone through yet"]


def test_one_failure_in_a_million_does_not_show_as_none() -> None:
    (one,) = rates([], [total(requests=1_000_000, failed=1)], 1.0)
    assert row(one, several=False)[6] == "99.9%"


def test_names_that_a_terminal_would_obey_are_shown_instead() -> None:
    (one,) = rates([], [total(requests=1, service="shop/\x1b[2Jcart")], 1.0)
    assert "\x1b" not in "".join(row(one, several=False))


def test_a_narrow_terminal_gets_lines_that_fit() -> None:
    found = rates([], [total(requests=n, service=f"namespace-{n}/a-service-with-a-name") for n in range(1, 60)], 1.0)
    out = io.StringIO()
    Console(file=out, width=80).print(TopTable(out, 80, several=False).table(found))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "59.0" in lines[1], "numbers are never what is cut"
    assert "19 more rows" in out.getvalue()
