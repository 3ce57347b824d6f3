"""The case table's judge, told of dials that went wrong in each way that it has to notice."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from tests.lab.actor import Reply
from tests.netns.cases.judge import AT_ONCE_MS, Seen, complaints, explain_complaints
from tests.netns.cases.model import INBOUND, Captured, Dial, Direct, Expectation, Refused, Unserved, from_peer

PEER, SELF = "10.0.0.1:80", "10.0.0.2:8080"
OUT, IN = Dial("peer", 80, Captured()), from_peer("self", 8080, Captured(INBOUND))
LOCAL = {"local": "10.0.0.2:40000", "remote": PEER}
RECORD = {"listener": 15001, "original": PEER, "sockname": "10.0.0.2:15001", "source": "10.0.0.2:40000"}
IN_LOCAL = {"local": "10.0.0.1:40001", "remote": SELF}
IN_RECORD = {"listener": INBOUND, "original": SELF, "sockname": SELF, "source": "10.0.0.1:40001"}
PROXY = {"who": "proxy", "source": "10.0.0.2:40000"}
SERVER = {"who": "peer", "at": PEER, "source": "10.0.0.2:40000"}


def seen(
    dial: Dial, line: Mapping[str, Any] | None, raw: Mapping[str, Any], *records: Mapping[str, Any], status: str = "ok"
) -> Seen:
    return Seen(dial, 4, Reply(status, line, 1.0, raw), records)


def complained(one: Seen, *, mode: str = "nftables", relay: bool = False) -> list[str]:
    """Only what is wrong, without the dial and what was seen."""
    return [text.split(": ", 2)[2].partition(": Reply")[0] for text in complaints(one, mode=mode, relay=relay)]


def test_a_captured_connection_that_went_as_it_should() -> None:
    assert complained(seen(OUT, PROXY, LOCAL, RECORD)) == []
    assert complained(seen(IN, PROXY, IN_LOCAL, IN_RECORD)) == []
    assert complained(seen(OUT, SERVER, LOCAL, RECORD), relay=True) == []


@pytest.mark.parametrize(
    ("line", "raw", "records", "wrong"),
    [
        (None, LOCAL, [RECORD], "not captured"),
        (SERVER, LOCAL, [], "not captured"),
        (PROXY, LOCAL, [], "exactly one connection"),
        (PROXY, LOCAL, [RECORD, RECORD], "exactly one connection"),
        (PROXY, LOCAL, [RECORD | {"listener": 15006}], "the listener on 15006"),
        (PROXY, LOCAL, [RECORD | {"original": "10.0.0.1:81"}], "recovered 10.0.0.1:81"),
        (PROXY, LOCAL | {"remote": "127.0.0.1:15001"}, [RECORD], "getpeername says 127.0.0.1:15001"),
    ],
)
@pytest.mark.parametrize("mode", ["nftables", "iptables", "tproxy", "ebpf"])
def test_a_captured_connection_that_went_wrong(
    mode: str, line: Mapping[str, Any], raw: Mapping[str, Any], records: list[Mapping[str, Any]], wrong: str
) -> None:
    (told,) = complained(seen(OUT, line, raw, *records), mode=mode)
    assert wrong in told


def test_inbound_the_clients_own_address_is_seen() -> None:
    (told,) = complained(seen(IN, PROXY, IN_LOCAL, IN_RECORD | {"source": "10.0.0.2:40001"}))
    assert "the source 10.0.0.2:40001" in told


def test_only_inbound_tproxy_learns_it_from_getsockname() -> None:
    by_name = IN_RECORD | {"original": "error: Protocol not available"}
    assert complained(seen(IN, PROXY, IN_LOCAL, by_name), mode="tproxy") == []
    assert len(complained(seen(IN, PROXY, IN_LOCAL, by_name), mode="nftables")) == 1
    assert len(complained(seen(IN, PROXY, IN_LOCAL, IN_RECORD | {"sockname": "10.0.0.2:1"}), mode="tproxy")) == 1
    out = RECORD | {"sockname": PEER, "original": "error: Protocol not available"}
    assert len(complained(seen(OUT, PROXY, LOCAL, out), mode="tproxy")) == 1


def test_dns_over_tcp_has_its_destination_recovered_under_ebpf_too() -> None:
    dial = Dial("peer", 80, Captured(15053))
    assert complained(seen(dial, PROXY, LOCAL, RECORD | {"listener": 15053}), mode="ebpf") == []
    assert len(complained(seen(dial, PROXY, LOCAL, RECORD | {"listener": 15053, "original": "?"}), mode="ebpf")) == 1


def test_what_was_relayed_is_the_targets_payload() -> None:
    (told,) = complained(seen(OUT, SERVER | {"at": "192.0.2.1:80"}, LOCAL, RECORD), relay=True)
    assert f"not that of {PEER}" in told


def test_an_answer_to_a_datagram_comes_from_where_it_was_sent() -> None:
    dial = dataclasses.replace(OUT, udp=True)
    assert complained(seen(dial, PROXY, {"sender": PEER})) == []
    assert len(complained(seen(dial, PROXY, {"sender": "127.0.0.1:15053"}))) == 1
    assert len(complained(seen(dial, SERVER, {"sender": PEER}))) == 1
    direct = dataclasses.replace(dial, expect=Direct())
    assert complained(seen(direct, SERVER, {"sender": PEER})) == []
    assert len(complained(seen(direct, SERVER, {"sender": "127.0.0.1:15053"}))) == 1


@pytest.mark.parametrize(
    ("line", "records", "wrong"),
    [
        (None, [], "nobody answered"),
        (PROXY, [], "captured"),
        (SERVER, [RECORD], "captured"),
        (SERVER | {"at": "192.0.2.1:80"}, [], "it reached 192.0.2.1:80"),
        (SERVER | {"source": "10.0.0.2:1"}, [], "its source became 10.0.0.2:1"),
    ],
)
def test_a_direct_connection_that_went_wrong(
    line: Mapping[str, Any] | None, records: list[Mapping[str, Any]], wrong: str
) -> None:
    direct = Dial("peer", 80, Direct())
    assert complained(seen(direct, SERVER, LOCAL)) == []
    assert complained(seen(direct, line, LOCAL, *records)) == [wrong]


@pytest.mark.parametrize("expect", [Refused(), Unserved()])
def test_refused_means_at_once(expect: Expectation) -> None:
    dial = Dial("peer", 80, expect)
    refused = seen(dial, None, {}, status="refused")
    late = dataclasses.replace(refused, reply=dataclasses.replace(refused.reply, ms=AT_ONCE_MS))
    assert complained(refused) == []
    assert complained(late) == ["refused, but not at once"]
    for status in ("timeout", "reset", "ok"):
        assert complained(seen(dial, None, {}, status=status)) == ["not refused"]


EXPLAINED = {"decision": "capture", "listener": 15001, "rule": "r", "reason": "why", "mode": "ebpf"}
DIRECT = EXPLAINED | {"decision": "direct", "listener": None}


@pytest.mark.parametrize(
    ("expect", "right"),
    [
        (Captured(), EXPLAINED),
        (Direct(), DIRECT),
        (Unserved(), DIRECT),
        (Refused(), DIRECT | {"decision": "drop"}),
    ],
)
def test_what_explain_says_is_held_against_the_case(expect: Expectation, right: Mapping[str, Any]) -> None:
    def told(explained: Mapping[str, Any]) -> int:
        return len(explain_complaints(seen(Dial("peer", 80, expect), None, {}), explained, mode="ebpf"))

    assert told(right) == 0
    assert told({**right, "more": 1}) == 0
    for key in right:
        assert told({name: value for name, value in right.items() if name != key}) == 1, key
        assert told({name: value for name, value in right.items() if name != key} | {"another": 1}) == 1, key
    assert told({**right, "decision": "direct" if right["decision"] != "direct" else "capture"}) == 1
    assert told({**right, "listener": 15006}) == 1
    assert told({**right, "mode": "nftables"}) == 1
