"""Exchanges of HTTP/1 through the engine: bytes as they came, answers in order, and what is answered by the proxy."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from cext.engine.values import Ending, Speaks
from tests.netns.cext.engine_world import World, closed_port, ends_by_reset
from tests.netns.cext.http_world import Web, answering, exactly, head, heard, speaks

GET = b"GET /x?y=1 HTTP/1.1\r\nHost: A\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

ANSWERS = [
    OK,
    b"HTTP/1.1 200 Fine By Me\r\ncONTENT-lENGTH: 0\r\nx-A: 1\r\nX-a:  2 \r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;q="a"\r\nhi\r\n0\r\nTrailer: x\r\n\r\n',
    b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 900\r\n\r\n",
    b"HTTP/1.1 404\r\nContent-Length: 3\r\n\r\nno!",
    b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"b" * 200_000,
    b"HTTP/1.1 200 OK\r\nX-Long: " + b"l" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.parametrize("how", [Speaks.HTTP, Speaks.DETECT])
def test_answers_and_requests_are_the_bytes_that_were_sent(world: World, how: Speaks) -> None:
    requests: list[bytes] = []

    def talk(sock: socket.socket) -> None:
        rest = b""
        for answer in ANSWERS:
            request, rest = head(sock, rest)
            requests.append(request)
            sock.sendall(answer)

    world.decide(speaks(Web(world, talk), how))
    sent = []
    with world.connect() as client:
        for number, answer in enumerate(ANSWERS):
            sent.append(b"GeT /%d HTTP/1.1\r\nhOST: A\r\nX-Blank:\r\nx-blank: \t v \r\n\r\n" % number)
            client.sendall(sent[-1])
            assert exactly(client, len(answer)) == answer
    assert requests == sent


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.0 200 OK\r\nX: y\r\n\r\n" + b"z" * 100_000,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ncut",
    ],
)
def test_an_answer_that_ends_with_its_connection_ends_the_clients(world: World, answer: bytes) -> None:
    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(answer)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(GET)
        assert heard(client) == answer


def test_an_answer_to_head_has_no_body(world: World) -> None:
    world.decide(speaks(Web(world, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", OK))))
    with world.connect() as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        assert exactly(client, 40 + len(OK)).endswith(b"900\r\n\r\n" + OK)


def test_pipelined_requests_are_answered_in_order_by_their_own_answers(world: World) -> None:
    def talk(sock: socket.socket) -> None:
        rest = b""
        while True:
            request, rest = head(sock, rest)
            if not request:
                return
            target = request.split()[1]
            time.sleep(0.02 if target == b"/0" else 0)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(5)))
        for number in range(5):
            assert exactly(client, 40).endswith(b"\r\n\r\n/%d" % number)


def test_clients_share_an_upstream_connection_of_a_service(world: World) -> None:
    web = Web(world, answering(OK))
    world.decide(speaks(web))
    for _ in range(5):
        with world.connect() as client:
            client.sendall(GET)
            assert exactly(client, len(OK)) == OK
        time.sleep(0.02)
    assert web.accepted == 1


def test_a_connection_that_logs_in_stays_with_its_client(world: World) -> None:
    asks = b"HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"
    web = Web(world, answering(asks, OK))
    world.decide(speaks(web))
    first = world.connect()
    first.sendall(GET)
    assert exactly(first, len(asks)) == asks
    with world.connect() as other:
        other.sendall(GET)
        assert exactly(other, len(asks)) == asks, "another connection, at its beginning"
    first.sendall(GET)
    assert exactly(first, len(OK)) == OK
    assert web.accepted == 2


def test_a_request_on_a_connection_that_just_died_is_sent_again(world: World) -> None:
    def once(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(OK)
        head(sock)

    web = Web(world, once)
    world.decide(speaks(web))
    with world.connect() as client:
        for _ in range(4):
            client.sendall(GET)
            assert exactly(client, len(OK)) == OK
    assert web.accepted == 4


@pytest.mark.parametrize("early", [b"", b"first words"])
def test_an_upgrade_becomes_a_relay(world: World, early: bytes) -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"

    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(switched + early)
        while part := sock.recv(1000):
            sock.sendall(part[::-1])

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        assert exactly(client, len(switched + early)) == switched + early
        client.sendall(b"\0abc")
        assert exactly(client, 4) == b"cba\0"
        client.shutdown(socket.SHUT_WR)
        assert heard(client) == b""
    assert world.records(1)[0].ending is Ending.FINISHED


def test_a_tunnel_by_connect_becomes_a_relay(world: World) -> None:
    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        while part := sock.recv(1000):
            sock.sendall(part)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
        assert exactly(client, 26) == b"HTTP/1.1 200 Connected\r\n\r\n"
        client.sendall(b"GARBAGE")
        assert exactly(client, 7) == b"GARBAGE"


def test_a_server_asked_whether_to_continue_says_so_itself(world: World) -> None:
    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        exactly(sock, 5)
        sock.sendall(OK)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert exactly(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"12345")
        assert exactly(client, len(OK)) == OK


def test_an_early_answer_reaches_a_client_that_still_sends(world: World) -> None:
    refusal = b"HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(refusal)
        time.sleep(0.3)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        assert heard(client) == refusal


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        (b"GET / HTTP/3.1\r\nHost: a\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"t" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"h" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 600 + b"\r\n", 431),
        (b"no HTTP at all\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\x02\x01\x00 no hello", 400),
    ],
)
def test_what_cannot_be_framed_is_answered_and_never_forwarded(world: World, request_: bytes, status: int) -> None:
    seen: list[bytes] = []

    def talk(sock: socket.socket) -> None:
        while part := sock.recv(65536):
            seen.append(part)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(request_)
        assert heard(client).startswith(b"HTTP/1.1 %d " % status)
    assert b"zz" not in b"".join(seen)
    if b"chunked\r\n\r\nzz" not in request_:
        assert seen == []


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nX: " + b"h" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Unasked\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_becomes_502(world: World, answer: bytes) -> None:
    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(answer)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(GET)
        assert head(client)[0].startswith(b"HTTP/1.1 502 ")


def test_an_endpoint_that_is_not_there_becomes_503_and_the_client_may_go_on(world: World) -> None:
    world.decide(speaks(closed_port()))
    with world.connect() as client:
        for _ in range(2):
            client.sendall(GET)
            answer, rest = head(client)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"close" not in answer
            assert rest == b"no connection to the upstream\n"


def test_an_upstream_that_ends_without_a_word_becomes_503(world: World) -> None:
    def talk(sock: socket.socket) -> None:
        head(sock)

    web = Web(world, talk)
    world.decide(speaks(web))
    with world.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert head(client)[0].startswith(b"HTTP/1.1 503 ")
    assert web.accepted == 1


def test_a_reset_within_an_answer_reaches_the_client_as_a_reset(world: World) -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome"

    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(begun)
        time.sleep(0.1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    world.decide(speaks(Web(world, talk)))
    client = world.connect()
    client.sendall(GET)
    assert exactly(client, len(begun)) == begun
    assert ends_by_reset(client) == b""


def test_answers_that_nobody_asked_for_reach_nobody(world: World) -> None:
    web = Web(world, answering(OK + OK))
    world.decide(speaks(web))
    with world.connect() as client:
        for _ in range(3):
            client.sendall(GET)
            assert exactly(client, len(OK)) == OK
            time.sleep(0.02)
    assert web.accepted == 3


def test_a_drain_ends_idle_connections_and_says_close_to_busy_ones(world: World) -> None:
    def slow(sock: socket.socket) -> None:
        request, _ = head(sock)
        if b"/slow" in request:
            time.sleep(0.3)
        sock.sendall(OK)
        head(sock)

    world.decide(speaks(Web(world, slow)))
    idle, busy = world.connect(), world.connect()
    idle.sendall(GET)
    assert exactly(idle, len(OK)) == OK
    busy.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(0.1)
    world.lane.drain()
    assert heard(idle) == b""
    assert heard(busy) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nhi"
