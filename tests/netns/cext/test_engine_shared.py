"""Listening sockets that two engines have, one after the other, and clients that are asked to come anew."""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack

import pytest

from cext.engine.engine import EngineError
from tests.netns.cext.engine_world import MARK, OUTBOUND, World, relay_to
from tests.netns.cext.http_world import Web, answering, exactly, heard, speaks

pytestmark = pytest.mark.kernel
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
KEPT = b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi"
OTHER = b"HTTP/1.1 200 OK\r\nConnection: x-hop\r\nContent-Length: 2\r\n\r\nhi"


def test_a_socket_that_is_left_lives_on_with_its_backlog(stack: ExitStack) -> None:
    world = World(stack, threads=2)
    world.decide(relay_to(world.server("a")))
    kept = world.connect()
    assert kept.recv(10) == b"a\n"
    shared = socket.socket(fileno=os.dup(world.fd))
    world.lane.leave(world.number)
    with pytest.raises(EngineError):
        world.lane.leave(world.number)
    waiting = [world.connect() for _ in range(20)]
    kept.sendall(b"still here")
    assert kept.recv(100) == b"still here"
    number = world.lane.listen(shared.detach(), scope=OUTBOUND, mark=MARK)
    assert [one.recv(10) for one in waiting] == [b"a\n"] * 20
    assert world.lane.accepted(number) == 20


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (OK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nhi"),
        (KEPT, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"),
    ],
    ids=["plain", "keep-alive"],
)
def test_a_parting_engine_says_close_and_lets_idle_connections_be(world: World, answer: bytes, seen: bytes) -> None:
    world.decide(speaks(Web(world, answering(answer))))
    client, again = world.connect(), world.connect()
    for one in (client, again):
        one.sendall(GET)
        assert exactly(one, len(answer)) == answer
    world.lane.part(parts=True)
    time.sleep(0.2)
    client.sendall(GET)
    assert heard(client) == seen
    world.lane.part(parts=False)
    for _ in range(2):
        again.sendall(GET)
        assert exactly(again, len(answer)) == answer


def test_an_answer_that_has_words_of_its_own_for_the_connection_stays_as_it_is(world: World) -> None:
    world.decide(speaks(Web(world, answering(OTHER))))
    world.lane.part(parts=True)
    with world.connect() as client:
        for _ in range(2):
            client.sendall(GET)
            assert exactly(client, len(OTHER)) == OTHER
