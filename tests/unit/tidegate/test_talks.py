"""Names in place of addresses, what `run --live` shows of records, and what it does to a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tidegate.build import records
from tests.unit.tidegate.test_summary import document, record
from tidegate.supervise.columns import WIDTH
from tidegate.supervise.names import named, shown
from tidegate.supervise.report import as_document
from tidegate.supervise.screen import Screen
from tidegate.supervise.summary import summary
from tidegate.supervise.talks import Talks


def request(**more: Any) -> dict[str, Any]:
    usual = {"direction": "outbound", "upstream": "10.0.0.1:80", "service": "-", "authority": "a.example:80",
             "status": 200, "duration_ms": 5.0, "route": "-", "flags": "-"}  # fmt: skip
    return usual | more


@pytest.mark.parametrize(
    ("connection", "requests", "hosts", "name"),
    [
        (record("10.0.0.1:80", service="web.shop.svc.cluster.local", sni="x"), [], {}, "web.shop"),
        (record("10.0.0.1:80", service="", sni="tls.example"), [], {"10.0.0.1": "h"}, "tls.example"),
        (record("10.0.0.1:80"), [], {"10.0.0.1": "host"}, "host"),
        (record("10.0.0.1:80"), [request()], {}, "a.example"),
        (record("10.0.0.1:80"), [request(service="shop/web")], {}, None),
        (record("10.0.0.1:80"), [request(authority="10.0.0.1:80")], {}, None),
        (record("10.0.0.1:80"), [request(authority="[fd00::1]:80")], {}, None),
        (record("10.0.0.1:80", sni="x" * 200), [], {}, None),
        (record("10.0.0.1:80", sni="\x1b[2J"), [], {}, "\\x1b[2J"),
        (record("10.0.0.1:80", direction="inbound", sni="x"), [], {}, None),
    ],
)
def test_names(connection: dict[str, Any], requests: list[Any], hosts: dict[str, str], name: str | None) -> None:
    assert named([connection], requests, hosts).get("10.0.0.1:80") == name


def test_the_summary_shows_names_and_still_fits() -> None:
    made = as_document(["x"], 0, "ebpf", [record("10.0.0.1:443", sni="n" * 60)], duration_ms=1.0)
    text = summary(made)
    assert "n" * 60 + ":443" in text
    assert "10.0.0.1" not in text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert made["connections"][0]["name"] == "n" * 60
    left_out = [{"protocol": "tcp", "destination": "10.0.0.1:443", "count": 1, "reason": "r", "processes": []}]
    assert f"to {'n' * 60}:443: r" in " ".join(summary(made | {"seen_not_captured": left_out}).split())
    assert shown("[fd00::1]:80", {"[fd00::1]:80": "six"}) == "six:80"
    assert "10.0.0.2:1" in summary(document([record("10.0.0.2:1")]))


def test_what_has_ended_and_what_is_open_are_one_row() -> None:
    talks = Talks()
    talks.take(
        [record("10.0.0.1:80", close_reason="upstream-reset"), record("10.0.0.1:80")], [request(), request(status=503)]
    )
    title, row = talks.lines([record("10.0.0.1:80")], 80, 10)
    assert title.split()[-7:] == ["conns", "open", "reqs", "failed", "sent", "received", "p50"]
    assert row.split() == ["->", "a.example:80", "3", "1", "2", "2", "3", "B", "6", "B", "5.0ms"]
    assert talks.sentence(1) == "2 connections ended, 1 open, 2 requests, 2 failed, 2 B sent, 4 B received"


@given(records, st.integers(60, 200), st.integers(1, 10))
def test_lines_fit(connections: list[dict[str, Any]], width: int, most: int) -> None:
    talks = Talks()
    talks.take(connections, [])
    lines = talks.lines(connections, width, most)
    assert len(lines) <= most
    assert max(map(len, lines)) <= width


def test_there_is_room_for_so_many_destinations_only() -> None:
    talks = Talks()
    talks.take([record(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}:80") for n in range(1500)], [])
    assert (len(talks.by_destination), talks.left_out) == (1000, 500)
    assert talks.sentence(0).startswith("1500 connections")


class Terminal:
    def __init__(self, lines: int, columns: int) -> None:
        self.ours, self.theirs = pty.openpty()
        self.resize(lines, columns)

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    def read(self) -> str:
        return os.read(self.ours, 65536).decode()

    def close(self) -> None:
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())


@pytest.mark.usefixtures("in_front")
def test_the_last_lines_of_a_terminal_are_kept_and_given_back() -> None:
    terminal = Terminal(24, 80)
    try:
        with Screen(terminal.theirs) as screen:
            assert screen.room() == (80, 8)
            screen.show(["one", "two"])
            first = terminal.read()
            assert "\x1b[1;16r" in first
            assert re.findall(r"\x1b\[(\d+);1H\x1b\[2K(\w*)", first)[:3] == [("17", "one"), ("18", "two"), ("19", "")]
            screen.show(["three"])
            assert "r\x1b8" not in terminal.read(), "the region is set once"
            terminal.resize(40, 100)
            screen.show(["four"])
            assert "\x1b[1;30r" in terminal.read()
        assert "\x1b[r" in terminal.read()
    finally:
        terminal.close()


@pytest.mark.usefixtures("in_front")
def test_a_tiny_terminal_is_left_to_the_command() -> None:
    terminal = Terminal(5, 20)
    try:
        with Screen(terminal.theirs) as screen:
            screen.show(["one"])
            assert screen.room() == (20, 0)
        terminal.resize(24, 80)
        os.write(terminal.theirs, b".")
        assert terminal.read() == "."
    finally:
        terminal.close()


def test_what_is_no_terminal_and_one_that_another_has_get_nothing() -> None:
    reader, writer = os.pipe()
    terminal = Terminal(24, 80)
    try:
        for fd in (writer, terminal.theirs):
            with Screen(fd) as screen:
                assert screen.room()[1] == 0
                screen.show(["one"])
        os.write(writer, b".")
        assert os.read(reader, 100) == b"."
    finally:
        terminal.close()
        os.close(reader)
        os.close(writer)
