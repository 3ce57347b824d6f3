"""A request or a connection as a line: what it shows, that it fits, and that a terminal obeys none of it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.report.printable import printable
from proxy.core.report.request import shown
from proxy.core.report.request_fields import report
from tests.unit.proxy.core.report.requests import request
from tidegate.tapped import line

CONNECTION: dict[str, Any] = {
    "time": "2026-11-28T08:00:00.123Z", "direction": "inbound", "downstream": "10.0.0.1:4000",
    "original_destination": "10.0.0.2:80", "upstream": "10.0.0.3:8080", "protocol": "tcp", "lane": "splice",
    "bytes_sent": 5, "bytes_received": 7, "duration_ms": 12.345, "close_reason": "finished", "lane_reason": "x",
}  # fmt: skip


def test_a_request_shows_what_matters_first() -> None:
    text = line(report(request(status=503, flags="UF", attempts=2)), None)
    assert text == (
        "22:13:20.007 -> 503 UF 2.5ms GET shop/cart?user=1 2 attempts 10.0.0.1:40000 to 10.0.0.9:8080 ns/shop ns/canary"
    )


def test_a_connection_shows_where_it_went() -> None:
    assert line(CONNECTION, None) == (
        "08:00:00.123 <- tcp finished 12.3ms 10.0.0.1:4000 to 10.0.0.2:80 at 10.0.0.3:8080 "
        "5 B sent, 7 B received splice"
    )


@given(st.binary(max_size=300), st.integers(20, 200))
def test_a_line_fits_and_is_printable(path: bytes, width: int) -> None:
    text = line(report(request(path=shown(path))), width)
    assert len(text) <= width
    assert text.isprintable()


@given(st.text(max_size=100))
def test_nothing_reaches_the_terminal_that_it_would_obey(text: str) -> None:
    assert printable(text).isprintable()
