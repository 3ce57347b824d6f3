"""Large bodies that nobody needs to look at go from socket to socket by splice(2): the same bytes, the same ends."""

from __future__ import annotations

import random
import socket
import time

import pytest

from tests.netns.cext.engine_world import World, ends_by_reset
from tests.netns.cext.http_world import Web, exactly, head, heard, speaks

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = random.Random(1).randbytes(3_000_000)
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
SMALL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def spliced(world: World) -> int:
    return world.engine.totals().spliced_bytes


def test_an_answer_with_a_length_and_the_next_one(world: World) -> None:
    def talk(sock: socket.socket) -> None:
        rest = b""
        while True:
            request, rest = head(sock, rest)
            if not request:
                return
            sock.sendall(LENGTH % len(BODY) + BODY)

    web = Web(world, talk)
    world.decide(speaks(web))
    with world.connect() as client:
        for _ in range(5):
            client.sendall(GET)
            answer, rest = head(client)
            assert answer == LENGTH % len(BODY)
            assert rest + exactly(client, len(BODY) - len(rest)) == BODY
    assert web.accepted == 1
    assert spliced(world) > 5 * len(BODY) // 2


def test_answers_that_come_in_bits_and_behind_each_other(world: World) -> None:
    whole = LENGTH % len(BODY) + BODY

    def talk(sock: socket.socket) -> None:
        dice = random.Random(2)
        head(sock)
        at = 0
        while at < len(whole):
            size = dice.choice((1, 100, 5_000, 70_000, 400_000))
            sock.sendall(whole[at : at + size])
            at += size
        head(sock)
        sock.sendall(SMALL)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(GET + GET)
        assert exactly(client, len(whole) + len(SMALL)) == whole + SMALL


def test_a_slow_client_gets_all_of_it(world: World) -> None:
    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(LENGTH % len(BODY) + BODY)
        head(sock)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        client.sendall(GET)
        got = b""
        while len(got) < len(LENGTH % len(BODY)) + len(BODY):
            got += client.recv(100_000)
            if len(got) < 300_000:
                time.sleep(0.005)
    assert got.endswith(BODY)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\nX: y\r\n\r\n"])
def test_an_answer_until_the_end(world: World, start: bytes) -> None:
    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(start + BODY)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(GET)
        assert heard(client) == start + BODY
    assert spliced(world) > 0


@pytest.mark.parametrize("reset", [False, True])
def test_a_large_answer_that_is_cut(world: World, reset: bool) -> None:
    """FIN for FIN, RST for RST."""

    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(LENGTH % (2 * len(BODY)) + BODY)
        if reset:
            time.sleep(0.3)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(GET)
        got = exactly(client, len(LENGTH % (2 * len(BODY))) + len(BODY))
        assert got.endswith(BODY)
        assert (ends_by_reset(client) if reset else heard(client)) == b""


def test_a_client_that_goes_within_a_large_answer(world: World) -> None:
    ended: list[bool] = []

    def talk(sock: socket.socket) -> None:
        head(sock)
        try:
            sock.sendall(LENGTH % (100 * len(BODY)))
            while True:
                sock.sendall(BODY)
        except OSError:
            ended.append(True)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(GET)
        exactly(client, 2_000_000)
    deadline = time.monotonic() + 20
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ended


@pytest.mark.parametrize("method", [b"POST", b"PUT"])
def test_a_large_request_and_the_next_one(world: World, method: bytes) -> None:
    got: list[bytes] = []

    def talk(sock: socket.socket) -> None:
        rest = b""
        for _ in range(2):
            _, rest = head(sock, rest)
            got.append(rest + exactly(sock, len(BODY) - len(rest)))
            rest = b""
            sock.sendall(SMALL)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        for _ in range(2):
            client.sendall(method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
            assert exactly(client, len(SMALL)) == SMALL
    assert got == [BODY, BODY]
    assert spliced(world) > 0


def test_chunks_are_looked_at(world: World) -> None:
    chunk = b"%x\r\n%s\r\n" % (len(BODY), BODY)
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"

    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(answer)
        head(sock)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(GET)
        assert exactly(client, len(answer)) == answer
    assert spliced(world) == 0
