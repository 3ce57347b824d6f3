"""Rows, names and guesses, from values alone."""

from __future__ import annotations

import re
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.trace import discover as trace
from intercept.discover.gathered import Gathered
from intercept.discover.guess import guess
from intercept.discover.names import Names, of_answer, of_hosts
from intercept.discover.polled import Polled
from intercept.discover.scope import Scope, Whose
from intercept.discover.seen import Seen
from intercept.discover.sockets import ESTABLISHED, SYN_SENT, Diagnosed

HERE, THERE = ip_address("10.0.0.2"), ip_address("10.0.0.1")


def seen(key: object = 1, **more: object) -> Seen:
    usual = Seen(
        key, True, "tcp", "curl", 7, 1000, 1000, (HERE, 40000), (THERE, 80), sent=10, received=20, duration_s=1.0
    )
    return usual._replace(**more)  # type: ignore[arg-type]


def gathered() -> Gathered:
    return Gathered(lambda address: address == HERE)


def test_an_open_connection_is_told_as_it_is_now_and_once_when_it_has_ended() -> None:
    one = gathered()
    one.add([seen()])
    one.add([seen(sent=30)])
    (row,) = one.rows()
    assert (row.calls, row.open, row.sent) == (1, 1, 30)
    one.add([seen(sent=50, ended=True, duration_s=2.0)])
    one.add([])
    (row,) = one.rows()
    assert (row.calls, row.open, row.sent, row.median_s) == (1, 0, 50, 2.0)


def test_rows_are_of_a_caller_and_a_destination_not_of_a_process() -> None:
    one = gathered()
    one.add([seen(n, pid=n, ended=True) for n in range(1, 6)] + [seen(9, name="wget", ended=True)])
    first, second = one.rows()
    assert (first.calls, len(first.pids), first.key.name) == (5, 5, "curl")
    assert second.key.name == "wget"


def test_failures_have_no_duration_and_old_ones_are_long_lived() -> None:
    one = gathered()
    one.add([seen(1, ended=True, failed=True), seen(2, older=True)])
    (row,) = one.rows()
    assert (row.failed, row.median_s, row.long_lived) == (1, None, True)


def test_messages_are_told_as_totals() -> None:
    one = gathered()
    for times in (3, 3, 5):
        one.add([seen("k", protocol="udp", times=times, sent=None, received=None)])
    (row,) = one.rows()
    assert (row.calls, row.sent, row.open) == (5, None, 0)


def test_a_guess_by_first_bytes_beats_one_by_port() -> None:
    one = gathered()
    one.add([seen(1, ended=True), seen(2, ended=True, first=b"\x16\x03\x01")])
    assert one.rows()[0].guess == "tls"


def test_what_goes_to_own_addresses_is_a_call_to_itself() -> None:
    one = gathered()
    one.add([seen(1, remote=(HERE, 80)), seen(2)])
    assert {row.is_self for row in one.rows()} == {True, False}


@pytest.mark.parametrize(
    ("first", "by_peer", "port", "found"),
    [
        (b"GET / HTTP/1.1\r\n", False, 1, "http"), (b"PRI * HTTP/2.0\r\n", False, 80, "http/2"),
        (b"\x16\x03\x01\x02\x00\x01", False, 5432, "tls"), (b"SSH-2.0-OpenSSH", True, 9, "ssh"),
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", False, 9, "postgresql"), (b"*1\r\n$4\r\nPING\r\n", False, 9, "redis"),
        (b"J\x00\x00\x00\x0a8.0.36\x00", True, 9, "mysql"), (b"220 mail ESMTP", True, 9, "smtp"),
        (b"", False, 443, "tls?"), (b"", False, 9, ""),
        (b"\x01\x02", True, 9, "server-first"), (b"\x01\x02", False, 9, ""),
    ],
)  # fmt: skip
def test_guesses(first: bytes, by_peer: bool, port: int, found: str) -> None:
    assert guess("tcp", port, first, by_peer=by_peer) == found


def test_udp_is_guessed_by_port_only_where_that_says_something() -> None:
    assert [guess("udp", port, b"") for port in (53, 443, 80)] == ["dns?", "quic?", ""]


@given(st.binary(max_size=20), st.booleans(), st.integers(0, 65535))
def test_any_bytes_are_guessed(first: bytes, by_peer: bool, port: int) -> None:
    guess("tcp", port, first, by_peer=by_peer)


def question(name: bytes) -> bytes:
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b"."))
    return labels + b"\0" + struct.pack(">HH", 1, 1)


def record(kind: int, data: bytes, name: bytes = b"\xc0\x0c") -> bytes:
    return name + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def message(*records: bytes, flags: int = 0x8180, name: bytes = b"web.shop") -> bytes:
    return struct.pack(">6H", 1, flags, 1, len(records), 0, 0) + question(name) + b"".join(records)


def test_answers_teach_the_name_that_was_asked_for() -> None:
    alias = record(5, b"\x04real\xc0\x0c")
    told = message(alias, record(1, b"\x0a\x00\x00\x01"), record(28, bytes(15) + b"\x01"), name=b"Web.Shop")
    names = Names("10.0.0.9 old other # comment\nnonsense\n")
    names.learn(told)
    assert names.of(ip_address("10.0.0.1")) == names.of(ip_address("::1")) == "web.shop"
    assert names.of(ip_address("10.0.0.9")) == "old"
    assert names.of(THERE.__class__("10.9.9.9")) == ""


@pytest.mark.parametrize(
    "message_",
    [
        b"", b"\0" * 12, message(flags=0x0100), message(record(1, b"\x0a\x00")),
        message(record(1, b"\x0a\x00\x00\x01"))[:-1],
        struct.pack(">6H", 1, 0x8180, 1, 1, 0, 0) + b"\xc0\x0c\0\1\0\1",
        message(record(1, b"\x0a\x00\x00\x01", b"\xc0\xff")),
    ],
)  # fmt: skip
def test_what_is_no_answer_teaches_nothing(message_: bytes) -> None:
    assert list(of_answer(message_)) == []


@given(st.binary(max_size=512))
def test_any_bytes_may_come_from_a_name_server(data: bytes) -> None:
    for name, _ in of_answer(data):
        assert name.isprintable()


@given(st.text(max_size=200))
def test_any_hosts_file_is_read(text: str) -> None:
    list(of_hosts(text))


def socket_(cookie: int, state: int = ESTABLISHED, local: int = 40000) -> Diagnosed:
    return Diagnosed(cookie, state, (HERE, local), (THERE, 80), 1000, 0, 0, 11, 20)


def test_what_is_polled_ends_when_it_is_not_there_any_more() -> None:
    polled = Polled(Whose(Scope()))
    (old,) = polled.of([socket_(1)], 10.0, ())
    assert (old.older, old.sent, old.outbound) == (True, 10, True)
    found = {one.key: one for one in polled.of([socket_(2), socket_(3, SYN_SENT)], 12.0, ())}
    assert (found[1].ended, found[2].older, found[2].ended) == (True, False, False)
    over = {one.key: one for one in polled.of([], 15.0, ())}
    assert (over[2].failed, over[3].failed) == (False, True)
    assert polled.of([socket_(4)], 16.0, {4}) == []


def test_the_program_knows_captures_layout() -> None:
    """discover.c has a copy of struct tg_asked, which is capture's."""
    text = (Path(trace.__file__).parent / "discover.c").read_text()
    body = re.search(r"struct asked {(.*?)};", text, re.S)
    wire = (Path(trace.__file__).parents[1] / "include" / "wire.h").read_text()
    assert body is not None
    sizes = {"u32": 4, "u16": 2}
    mine = [(sizes[kind] * int(count or 1)) for kind, count in re.findall(r"(u32|u16) \w+(?:\[(\d+)\])?;", body[1])]
    flow = re.search(r"struct tg_flow {(.*?)};", wire, re.S)
    endpoint = re.search(r"struct tg_endpoint {(.*?)};", wire, re.S)
    asked = re.search(r"struct tg_asked {(.*?)};", wire, re.S)
    assert flow
    assert endpoint
    assert asked
    assert re.findall(r"struct (\w+) ", asked[1]) == ["tg_endpoint", "tg_flow"]
    pattern = r"__(u32|u16) \w+(?:\[(\d+)\])?;"
    theirs = [sizes[kind] * int(count or 1) for kind, count in re.findall(pattern, endpoint[1] + flow[1])]
    assert mine == theirs
