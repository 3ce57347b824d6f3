"""What the kernel has counted arrives at the proxy as it was told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import Address
from proxy.core.close_reason import CloseReason
from proxy.core.lower.kernel_messages import MessageError
from proxy.core.lower.kernel_reports import ROWS, Counted, Seen, read, requests
from proxy.core.report.counts import EndpointCounts

counts = st.builds(EndpointCounts, *(st.integers(0, 1 << 40) for _ in EndpointCounts.__slots__))
addresses = st.builds(Address, st.sampled_from(["10.0.0.1", "fd00::1", ""]), st.integers(0, 65535), st.just(0))
counted = st.builds(Counted, st.integers(0, 1 << 31), addresses, counts)
times = st.floats(0, 1e10)
endings = st.none() | st.sampled_from([CloseReason.FINISHED, CloseReason.RESET, CloseReason.UPSTREAM_FAILED])
seen = st.builds(Seen, st.integers(0, 1 << 31), addresses, addresses, counts, times, times, st.booleans(), endings)


@given(st.lists(counted, max_size=3), st.lists(seen, max_size=3), st.none() | st.lists(seen, max_size=3))
def test_reports_arrive_as_they_were_told(totals: list[Counted], over: list[Seen], live: list[Seen] | None) -> None:
    found = [read(json.loads(json.dumps(one))) for one in requests(totals, over, live)]
    assert [one for report in found for one in report.counters] == totals
    assert [one for report in found for one in report.ended] == over
    assert [one for report in found for one in report.live] == (live or [])
    assert sum(report.begin for report in found) == (live is not None)


def test_a_request_has_a_bounded_number_of_rows() -> None:
    one = Counted(1, Address("10.0.0.1", 80), EndpointCounts(opened=1))
    found = [read(request) for request in requests([one] * (2 * ROWS + 1), [], None)]
    assert [len(report.counters) for report in found] == [ROWS, ROWS, 1]


ROW: dict[str, Any] = {
    "service": 1,
    "endpoint": ["10.0.0.1", 80],
    "client": ["10.0.0.2", 1],
    "started_at": 1,
    "age_s": 1,
}


@pytest.mark.parametrize(
    "request_",
    [
        {"begin": 1},
        {"counters": {}},
        {"counters": [1]},
        {"counters": [{**ROW, "service": "1"}]},
        {"counters": [{**ROW, "endpoint": "10.0.0.1:80"}]},
        {"counters": [{**ROW, "opened": -1}]},
        {"live": [{**ROW, "age_s": "long"}]},
        {"live": [{**ROW, "age_s": float("nan")}]},
        {"ended": [{**ROW, "close_reason": "bored"}]},
        {"ended": [{key: ROW[key] for key in ROW if key != "client"}]},
    ],
)
def test_what_is_no_report_is_refused(request_: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        read(request_)
