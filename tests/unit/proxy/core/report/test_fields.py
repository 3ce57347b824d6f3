"""One table: text lines, JSON lines and reports have the same fields, with the same values."""

from __future__ import annotations

import json
import shlex

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.close_reason import CloseReason
from proxy.core.decide.verdict import NOWHERE, Verdict
from proxy.core.lanes import Direction, Lane
from proxy.core.report.fields import FIELDS, json_line, report, text_line
from proxy.core.report.record import ConnectionRecord

addresses = st.builds(Address, st.ip_addresses().map(str), st.integers(1, 65535))
printable = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=' "='), max_size=20)
records = st.builds(
    ConnectionRecord,
    id=st.integers(0, 1 << 63),
    direction=st.sampled_from(Direction),
    peer=addresses.map(ClientAddress),
    destination=addresses.map(OriginalDestination),
    upstream=st.one_of(st.just(NOWHERE), addresses.map(UpstreamAddress)),
    verdict=st.builds(
        Verdict,
        upstream=st.just(NOWHERE),
        cluster=st.just("PassthroughCluster"),
        protocol=st.sampled_from(["tcp", "tls"]),
        lane=st.sampled_from(Lane),
        lane_reason=printable,
    ),
    to_upstream=st.integers(0, 1 << 62),
    to_downstream=st.integers(0, 1 << 62),
    state=st.just("closed"),
    started_at=st.floats(0, 4e9),
    age_s=st.floats(0, 1e6),
    close_reason=st.one_of(st.none(), st.sampled_from(CloseReason)),
)


@given(records)
def test_the_three_forms_say_the_same(record: ConnectionRecord) -> None:
    as_json = json.loads(json_line(record))
    told = report(record)
    assert list(as_json) == [field.name for field in FIELDS if field.logged]
    assert list(told) == [field.name for field in FIELDS if field.reported]
    assert {name: value for name, value in as_json.items() if name != "time"}.items() <= told.items()
    words, _, last = text_line(record).partition(" lane_reason=")
    moment, *pairs = shlex.split(words)
    as_text = dict(pair.split("=", 1) for pair in pairs)
    as_text["lane_reason"] = json.loads(last) if last.startswith('"') else last
    assert moment == as_json["time"]
    assert list(as_text) == [field.name for field in FIELDS if field.logged][1:]
    numbers = ("bytes_sent", "bytes_received", "duration_ms")
    assert {name: json.loads(value) if name in numbers else value for name, value in as_text.items()} == {
        name: value for name, value in as_json.items() if name != "time"
    }


@given(records)
def test_bytes_are_the_workloads(record: ConnectionRecord) -> None:
    told = report(record)
    sent, received = record.to_upstream, record.to_downstream
    if record.direction is Direction.INBOUND:
        sent, received = received, sent
    assert (told["bytes_sent"], told["bytes_received"]) == (sent, received)
