"""The control channel over a real socket pair: answers, events, and peers that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from proxy.control import channel as control
from proxy.control.channel import ControlConnection, ControlError


class Peer:
    """A control connection on a loop, and the other end of its socket in our hands."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lost = 0
        self.loop = loop
        self.sock, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.sock.settimeout(5)
        self.connection = ControlConnection({"add": self.add}, self._on_lost)
        loop.run_until_complete(loop.connect_accepted_socket(lambda: self.connection, theirs))

    def _on_lost(self) -> None:
        self.lost += 1

    @staticmethod
    def add(request: Any) -> Any:
        if not isinstance(request.get("a"), int):
            raise ControlError("'a' is missing")
        return {"sum": request["a"] + 1}

    def turn(self, seconds: float = 0.05) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def lines(self, wait: float = 0.05) -> list[Any]:
        self.turn(wait)
        self.sock.setblocking(False)
        data = b""
        try:
            while part := self.sock.recv(1 << 20):
                data += part
        except BlockingIOError:
            pass
        self.sock.settimeout(5)
        return [json.loads(line) for line in data.splitlines()]


@pytest.fixture
def peer() -> Iterator[Peer]:
    loop = uvloop.new_event_loop()
    made = Peer(loop)
    yield made
    made.sock.close()
    made.turn()
    loop.close()
    assert made.lost == 1


def test_each_line_gets_one_answer_however_it_arrives(peer: Peer) -> None:
    peer.sock.sendall(b'{"op": "add", "a": 1}\n{"op": "add", "a": 2}\n{"op": "a')
    assert peer.lines() == [{"sum": 2}, {"sum": 3}]
    peer.sock.sendall(b'dd", "a": 3}\n')
    assert peer.lines() == [{"sum": 4}]


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"1", b'{"op": 1}', b'{"op": "sub"}', b'{"op": "add"}', b"\xff\xfe"]
)
def test_a_wrong_request_is_answered_and_harms_nothing(peer: Peer, line: bytes) -> None:
    peer.sock.sendall(line + b'\n{"op": "add", "a": 1}\n')
    wrong, right = peer.lines()
    assert wrong["ok"] is False
    assert wrong["error"]
    assert right == {"sum": 2}


def test_a_line_without_end_is_not_kept(peer: Peer) -> None:
    peer.sock.sendall(b"x" * (control.MAX_LINE + 1))
    assert peer.lines()[0]["ok"] is False
    assert peer.sock.recv(1) == b""


def test_events_for_a_supervisor_that_does_not_read_are_bounded_and_the_loss_is_told(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_UNREAD", 10_000)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for number in range(20_000):
        peer.connection.tell("connection", number=number)
    found: list[Any] = []
    while part := peer.lines(0.02):
        found += part
    received = [event["number"] for event in found]
    assert received == list(range(len(received)))
    assert len(received) < 20_000
    peer.connection.tell("connection", number=-1)
    assert peer.lines() == [
        {"event": "events-dropped", "count": 20_000 - len(received)},
        {"event": "connection", "number": -1},
    ]


def test_after_the_peer_has_gone_telling_is_harmless(peer: Peer) -> None:
    peer.sock.shutdown(socket.SHUT_RDWR)
    peer.turn()
    assert peer.lost == 1
    peer.connection.tell("connection")
    peer.connection.close()
