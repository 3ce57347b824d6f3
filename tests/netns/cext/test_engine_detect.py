"""Detection by first bytes: nobody who is not HTTP waits for it, and it is remembered until it proves wrong."""

from __future__ import annotations

import socket
import ssl
import statistics
import time
from collections.abc import Callable

import pytest

from cext.engine.values import Speaks, Spoken
from tests.netns.cext.engine_world import World
from tests.netns.cext.http_world import Talk, Web, answering, exactly, head, heard, speaks

GET = b"GET / HTTP/1.1\r\nHost: A\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def echo(sock: socket.socket) -> None:
    while part := sock.recv(65536):
        sock.sendall(part)


def compared(world: World, talk: Talk, once: Callable[[], None], rounds: int) -> float:
    """How many seconds longer `once` takes where the engine looks than where it does not: the median of pairs."""
    verdicts = [speaks(Web(world, talk), how) for how in (Speaks.DETECT, Speaks.OPAQUE)]
    more = []
    for _ in range(rounds):
        took = []
        for verdict in verdicts:
            world.decide(verdict)
            begin = time.perf_counter()
            once()
            took.append(time.perf_counter() - begin)
        more.append(took[0] - took[1])
    return statistics.median(more)


@pytest.mark.alone
def test_a_server_that_speaks_first_is_never_waited_with(world: World) -> None:
    def greet(sock: socket.socket) -> None:
        sock.sendall(b"220 ready\r\n")
        echo(sock)

    def once() -> None:
        with world.connect() as client:
            assert exactly(client, 11) == b"220 ready\r\n"
            client.sendall(b"EHLO x\r\n")
            assert exactly(client, 8) == b"EHLO x\r\n"

    assert compared(world, greet, once, rounds=40) < 0.001
    assert {one.spoken for one in world.records(80)} == {Spoken.SERVER, Spoken.UNKNOWN}


@pytest.mark.alone
@pytest.mark.parametrize(
    "said",
    [b"*1\r\n$4\r\nPING\r\n", b"\0\0\0\x08\x04\xd2\x16\x2f", b"get a\r\n", b"AMQP\0\0\x09\x01", b"SSH-2.0-x\r\n"],
)
def test_a_client_that_speaks_something_else_does_not_wait(world: World, said: bytes) -> None:
    def once() -> None:
        with world.connect() as client:
            client.sendall(said)
            assert exactly(client, len(said)) == said

    assert compared(world, echo, once, rounds=30) < 0.001
    assert {one.spoken for one in world.records(60)} == {Spoken.OTHER, Spoken.UNKNOWN}


def test_first_bytes_that_are_incomplete_are_held_half_a_second_once(world: World) -> None:
    world.decide(speaks(Web(world, echo), Speaks.DETECT))
    took = []
    for _ in range(2):
        with world.connect() as client:
            begin = time.monotonic()
            client.sendall(b"GET")
            assert exactly(client, 3) == b"GET"
            took.append(time.monotonic() - begin)
    assert 0.45 < took[0] < 0.8
    assert took[1] < 0.1, "the destination is known to speak something else"


def test_a_request_that_comes_in_pieces_is_http(world: World) -> None:
    world.decide(speaks(Web(world, answering(OK)), Speaks.DETECT))
    with world.connect() as client:
        for at in range(len(GET)):
            client.sendall(GET[at : at + 1])
            time.sleep(0.002)
        assert exactly(client, len(OK)) == OK
    assert world.records(1)[0].spoken is Spoken.HTTP1


def test_a_destination_that_spoke_http_may_speak_first_another_time(world: World) -> None:
    def talk(sock: socket.socket) -> None:
        sock.settimeout(0.1)
        try:
            request = head(sock)[0]
        except TimeoutError:
            request = b""
        sock.settimeout(None)
        if request:
            sock.sendall(OK)
        else:
            sock.sendall(b"banner")
            echo(sock)

    world.decide(speaks(Web(world, talk), Speaks.DETECT))
    for _ in range(2):
        with world.connect() as client:
            client.sendall(GET)
            assert exactly(client, len(OK)) == OK
        with world.connect() as client:
            assert exactly(client, 6) == b"banner"
            client.sendall(b"x")
            assert exactly(client, 1) == b"x"
    # Two workers end them: in which order is not promised.
    assert sorted(one.spoken for one in world.records(4)) == sorted([Spoken.HTTP1, Spoken.SERVER] * 2)


def test_the_preface_of_http2_passes_and_is_named(world: World) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    for how in (Speaks.DETECT, Speaks.HTTP):
        world.decide(speaks(Web(world, echo), how))
        with world.connect() as client:
            client.sendall(preface)
            assert exactly(client, len(preface)) == preface
    assert [one.spoken for one in world.records(2)] == [Spoken.HTTP2, Spoken.HTTP2]


def test_a_tls_client_is_named_by_what_it_asks_for(world: World) -> None:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    shake = context.wrap_bio(incoming, outgoing, server_hostname="shop.example")
    with pytest.raises(ssl.SSLWantReadError):
        shake.do_handshake()
    hello = outgoing.read()
    world.decide(speaks(Web(world, echo), Speaks.DETECT))
    with world.connect() as client:
        client.sendall(hello[:5])
        time.sleep(0.01)
        client.sendall(hello[5:])
        assert exactly(client, len(hello)) == hello
        (live,) = world.lane.connections()
        assert (live.spoken, live.server_name, live.alpn) == (Spoken.TLS, "shop.example", "h2,http/1.1")


def test_a_client_that_only_ends_its_side_is_passed_on(world: World) -> None:
    def until_end(sock: socket.socket) -> None:
        got = heard(sock)
        sock.sendall(b"got %d" % len(got))

    world.decide(speaks(Web(world, until_end), Speaks.DETECT))
    for said in (b"", b"GE"):
        with world.connect() as client:
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            assert heard(client) == b"got %d" % len(said)


def test_an_attack_on_framing_is_answered_where_http_is_only_detected(world: World) -> None:
    web = Web(world, answering(OK))
    world.decide(speaks(web, Speaks.DETECT))
    with world.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert heard(client).startswith(b"HTTP/1.1 400 ")
