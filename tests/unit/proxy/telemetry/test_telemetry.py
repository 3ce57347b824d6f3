"""Logs that never wait, lines that can be read, counters that never go back."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.close_reason import CloseReason
from proxy.core.decide.verdict import Verdict, decide
from proxy.core.lanes import Direction, LaneChoice
from proxy.core.report.fields import json_line, text_line
from proxy.core.report.record import ConnectionRecord
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.log_writer import QueuedHandler
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sources import MetricSources

DESTINATION = OriginalDestination(Address("10.0.0.1", 80))


def record(number: int = 1) -> ConnectionRecord:
    return ConnectionRecord(
        id=number,
        direction=Direction.OUTBOUND,
        peer=ClientAddress(Address("10.0.0.2", 40000)),
        destination=DESTINATION,
        upstream=UpstreamAddress(DESTINATION),
        verdict=decide(Direction.OUTBOUND, DESTINATION, LaneChoice.SPLICE),
        to_upstream=number,
        to_downstream=2,
        state="closed",
        started_at=1_700_000_000.0078,
        age_s=0.25,
        close_reason=CloseReason.FINISHED,
    )


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def read_lines(fd: int, count: int) -> list[str]:
    data = b""
    while data.count(b"\n") < count:
        data += os.read(fd, 65536)
    return data.decode().splitlines()


def test_json_lines_have_the_reports_fields_and_the_time() -> None:
    line = json.loads(json_line(record()))
    assert line["time"] == "2023-11-14T22:13:20.007Z"
    assert (line["original_destination"], line["downstream"]) == ("10.0.0.1:80", "10.0.0.2:40000")
    assert (line["bytes_sent"], line["duration_ms"], line["lane_reason"]) == (1, 250.0, "forced by --lane splice")


def test_text_lines_can_be_taken_apart_again() -> None:
    line = text_line(record())
    assert line.startswith("2023-11-14T22:13:20.007Z direction=outbound downstream=10.0.0.2:40000 ")
    assert line.endswith('close_reason=finished lane_reason="forced by --lane splice"')


@pytest.mark.parametrize("json_lines", [True, False])
def test_every_connection_is_one_line_in_order(pipe: tuple[int, int], json_lines: bool) -> None:
    log = AccessLog(json_lines=json_lines, fd=pipe[1])
    for number in range(500):
        log.closed(record(number))
    log.close()
    lines = read_lines(pipe[0], 500)
    key = '"bytes_sent":%d,' if json_lines else " bytes_sent=%d "
    assert [key % number in line for number, line in enumerate(lines)] == [True] * 500
    assert log.dropped == 0


def test_a_full_pipe_costs_lines_not_time(pipe: tuple[int, int]) -> None:
    handler = QueuedHandler(pipe[1], limit=100)
    line = logging.LogRecord("x", logging.INFO, "", 0, "%s", ("y" * 999,), None)
    began = time.monotonic()
    for _ in range(5000):
        handler.emit(line)
    handler.close()
    assert time.monotonic() - began < 4  # a second of it is close()'s, which gives up
    assert handler.dropped > 4000
    kept = 5000 - handler.dropped
    assert len(read_lines(pipe[0], kept)) == kept


def test_a_reader_that_is_gone_costs_lines_only() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    handler = QueuedHandler(write_end)
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "y", (), None))
    handler.close()
    os.close(write_end)
    assert handler.dropped == 1


@dataclass
class OpenConnection:
    direction: Direction
    verdict: Verdict
    to_upstream: int = 0
    to_downstream: int = 0
    counted_to_upstream: int = 0
    counted_to_downstream: int = 0


def samples(metrics: Metrics, name: str) -> float:
    text = metrics.render("")[1].decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{"))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.sampled_from(Direction), st.just(0)),
        st.tuples(st.just("bytes"), st.integers(0, 5), st.integers(0, 1 << 40)),
        st.tuples(st.just("close"), st.integers(0, 5), st.sampled_from(CloseReason)),
        st.tuples(st.just("scrape"), st.just(0), st.just(0)),
    ),
    max_size=30,
)


@given(steps)
def test_whatever_happens_bytes_are_counted_once_and_never_taken_back(
    history: list[tuple[str, object, object]],
) -> None:
    live: list[OpenConnection] = []
    metrics = Metrics(MetricSources(lambda: live, lambda: 0, lambda: False, 10, kept=list, pauses=lambda: (0, 0)))
    up = down = opened = closed = 0
    last = (0.0, 0.0)
    for what, which, value in history:
        if what == "open":
            assert isinstance(which, Direction)
            live.append(OpenConnection(which, decide(which, DESTINATION, LaneChoice.AUTO)))
            metrics.opened(live[-1])
            opened += 1
        elif what == "bytes" and live:
            one = live[which % len(live)]  # type: ignore[operator]
            one.to_upstream += value  # type: ignore[operator]
            one.to_downstream += 1
            up, down = up + value, down + 1  # type: ignore[operator]
        elif what == "close" and live:
            metrics.closed(live.pop(which % len(live)), value)  # type: ignore[operator, arg-type]
            closed += 1
        elif what == "scrape":
            seen = (samples(metrics, "istio_tcp_received_bytes_total"), samples(metrics, "istio_tcp_sent_bytes_total"))
            assert seen >= last
            last = seen
    assert samples(metrics, "istio_tcp_received_bytes_total") == up
    assert samples(metrics, "istio_tcp_sent_bytes_total") == down
    assert samples(metrics, "istio_tcp_connections_opened_total") == opened
    assert samples(metrics, "istio_tcp_connections_closed_total") == closed
    assert samples(metrics, "tidegate_connections_active") == opened - closed


def test_the_format_is_negotiated() -> None:
    metrics = Metrics(MetricSources(list, lambda: 3, lambda: True, 10, kept=list, pauses=lambda: (2, 5)))
    content_type, body = metrics.render("")
    assert content_type.startswith("text/plain")
    assert b"tidegate_log_lines_dropped_total 3.0" in body
    assert b"tidegate_draining 1.0" in body
    assert b'tidegate_listener_pauses_total{reason="resources"} 5.0' in body
    content_type, body = metrics.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
