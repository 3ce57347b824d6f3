"""What the engine tells of requests reaches log, viewers, supervisor and /requests; nobody who looks slows it."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cext.engine.exchange_records import heads, record
from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.close_reason import CloseReason
from proxy.core.decide.verdict import decide
from proxy.core.lanes import Direction, LaneChoice
from proxy.core.report.record import ConnectionRecord
from proxy.core.report.request import RequestRecord
from proxy.core.report.wanted import wanted
from proxy.telemetry import tap as tapping
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.exchange_told import told
from proxy.telemetry.recent import Recent
from proxy.telemetry.requests import Requests
from proxy.telemetry.sieve import Sieve
from proxy.telemetry.tap import Tap
from tests.unit.cext.tell.teller import Teller, teller


class Viewer:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.items = 0

    def put(self, data: bytes, items: int = 1) -> None:
        self.items += items
        self.lines += [json.loads(line) for line in data.splitlines()]

    def paths(self) -> list[str]:
        return [line["path"] for line in self.lines if "path" in line]


class Telling:
    def __init__(self, one: Teller, *, json_lines: bool, supervised: bool = False) -> None:
        self.engine = one
        self.reader, self._writer = os.pipe()
        self.log = AccessLog(json_lines=json_lines, fd=self._writer)
        self.changes: list[bool] = []
        self.tap = Tap(self.changes.append)
        self.heard: list[RequestRecord] = []
        tell = self.heard.append if supervised else None
        self.requests = Requests(one.exchanges, self.log, self.tap, tell=tell)

    def logged(self) -> list[str]:
        self.log.close()
        os.close(self._writer)
        with os.fdopen(self.reader) as file:
            return file.read().splitlines()


@pytest.fixture
def one() -> Iterator[Teller]:
    with teller() as made:
        yield made


@pytest.mark.parametrize("json_lines", [True, False])
def test_each_request_is_a_line_of_the_log(one: Teller, json_lines: bool) -> None:
    telling = Telling(one, json_lines=json_lines)
    for number in range(5):
        one.tell(target=b"/%d" % number)
    telling.requests.take()
    lines = telling.logged()
    assert [("path" in line, f"/{number}" in line) for number, line in enumerate(lines)] == [(True, True)] * 5
    assert all(line.startswith("{") is json_lines for line in lines)


def test_a_backlog_is_taken_in_turns_and_none_is_lost(one: Teller) -> None:
    telling = Telling(one, json_lines=True, supervised=True)
    one.tell(target=b"/" + b"x" * 300, times=3000)
    turns = []
    while not turns or turns[-1]:
        before = len(telling.heard)
        telling.requests.take()
        turns.append(len(telling.heard) - before)
    assert len(telling.heard) == 3000
    assert len(turns) > 2, "the loop had turns in between"
    assert telling.requests.dropped == 0


def test_a_supervisor_hears_of_each_and_no_line_is_made(one: Teller) -> None:
    telling = Telling(one, json_lines=True, supervised=True)
    one.tell(target=b"/a", times=3)
    telling.requests.take()
    assert [request.path for request in telling.heard] == ["/a"] * 3
    assert telling.logged() == []


def test_the_last_ones_are_kept_newest_last(one: Teller) -> None:
    telling = Telling(one, json_lines=True)
    telling.requests.recent = Recent(most=10)
    for number in range(50):
        one.tell(target=b"/%d" % number, started_us=number * 1000)
        if number % 7 == 0:
            telling.requests.take()
    telling.requests.take()
    assert [request.path for request in telling.requests.recent.requests()] == [f"/{n}" for n in range(40, 50)]


def test_viewers_see_what_passes_their_filters(one: Teller) -> None:
    telling = Telling(one, json_lines=False)
    every, failed = Viewer(), Viewer()
    one.tell(target=b"/before")
    telling.requests.take()
    end_every = telling.tap.follow(every, wanted({}))
    end_failed = telling.tap.follow(failed, wanted({"status": "5xx", "service": "shop"}))
    one.tell(target=b"/good", service=b"ns/shop")
    one.tell(target=b"/bad", service=b"ns/shop", status=503)
    one.tell(target=b"/other", service=b"ns/other", status=503)
    telling.requests.take()
    assert every.paths() == ["/good", "/bad", "/other"]
    assert failed.paths() == ["/bad"]
    end_failed()
    one.tell(target=b"/late", service=b"ns/shop", status=503)
    telling.requests.take()
    assert (every.paths()[-1], failed.paths()) == ("/late", ["/bad"])
    end_every()
    end_every()
    assert telling.changes == [True, False]
    assert len(telling.logged()) == 5, "the log has its own form, whoever looks"


def test_a_filter_that_much_passes_is_told_what_there_was_no_time_for(one: Teller) -> None:
    """The clock goes on by a tenth of the burst at each look: there is time for ten looks."""
    looks = iter(range(10**6))
    telling = Telling(one, json_lines=True)
    telling.tap = Tap(telling.changes.append, now=lambda: next(looks) * tapping.BURST_S / 10)
    telling.requests = Requests(one.exchanges, telling.log, telling.tap)
    viewer = Viewer()
    telling.tap.follow(viewer, wanted({"path": "/"}))
    one.tell(target=b"/x", times=300)
    telling.requests.take()
    shown = len(viewer.paths())
    assert 9 * tapping.EACH <= shown <= 11 * tapping.EACH
    assert viewer.lines[-1] == {"dropped": 300 - shown}
    one.tell(target=b"/y", times=300)
    telling.requests.take()
    assert viewer.lines[-1] == {"dropped": 300}, "what is spent is not there at once again"


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([b"/a", b"/ab?c", b"/\xff", b"/\\"]),
    st.sampled_from([b"", b"ns/shop", b"shop/ns"]),
    st.sampled_from([b"", b"ns/route/0"]),
    st.sampled_from([200, 404, 503]),
    st.fixed_dictionaries(
        {},
        optional={
            "path": st.sampled_from(["/a", "/ab", "/\\xff", "/\\x", "/\\", "/é", "b"]),
            "service": st.sampled_from(["shop", "ns/shop", "ns", "shop\\"]),
            "route": st.sampled_from(["route", "ns/route", "x"]),
            "status": st.sampled_from(["5xx", "200,404"]),
            "source": st.sampled_from(["10.0.0.2", "10.0.0.3", "::1"]),
        },
    ),
)
def test_the_sieve_lets_through_all_that_passes_the_filter(
    target: bytes, service: bytes, route: bytes, status: int, asked: dict[str, str]
) -> None:
    chosen = wanted(asked)
    with teller() as mine:
        mine.exchanges.keep(True)
        mine.tell(target=target, service=service, route=route, status=status)
        batch = mine.exchanges.take(records=True)
    ((at, values),) = heads(batch.records)
    if chosen.takes(told(record(batch.records, at, values))):
        assert Sieve(chosen).lets(batch.records, at, values)


def test_connections_are_shown_to_those_who_did_not_ask_for_requests_only() -> None:
    tap = Tap(lambda _: None)
    every, requests_only, other_source = Viewer(), Viewer(), Viewer()
    tap.connection(connection())
    for viewer, query in ((every, {}), (requests_only, {"status": "200"}), (other_source, {"source": "10.9.9.9"})):
        tap.follow(viewer, wanted(query))
    tap.connection(connection())
    assert [line["original_destination"] for line in every.lines] == ["10.0.0.1:80"]
    assert requests_only.lines == other_source.lines == []


def connection() -> ConnectionRecord:
    destination = OriginalDestination(Address("10.0.0.1", 80))
    return ConnectionRecord(
        1, Direction.OUTBOUND, ClientAddress(Address("10.0.0.2", 4)), destination, UpstreamAddress(destination),
        decide(Direction.OUTBOUND, destination, LaneChoice.AUTO), 1, 2, "closed", 1.0, 2.0, CloseReason.FINISHED,
    )  # fmt: skip
