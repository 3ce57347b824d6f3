"""Requests through the real engine are told of: each once, with what went by, however they end."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from cext.engine.values import Action, Endpoint, SocketAddress, Speaks
from cext.engine.values import Verdict as EngineVerdict
from tests.netns.cext.engine_world import World, closed_port, relay_to
from tests.netns.cext.told import Telling, letters

pytestmark = pytest.mark.kernel
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


class Web:
    """Answers every head that comes, on as many connections as come."""

    def __init__(self, world: World, answer: Callable[[socket.socket, bytes], None]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = SocketAddress("127.0.0.1", self._listener.getsockname()[1])
        world.stack.callback(self._listener.close)
        world.stack.callback(lambda: self._listener.shutdown(socket.SHUT_RDWR))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            seen = b""
            while part := sock.recv(65536):
                seen += part
                while b"\r\n\r\n" in seen:
                    head, _, seen = seen.partition(b"\r\n\r\n")
                    self._answer(sock, head)


def say(sock: socket.socket, text: bytes) -> bytes:
    sock.sendall(text)
    return sock.recv(65536)


def http(place: SocketAddress) -> EngineVerdict:
    return EngineVerdict(
        Action.RELAY, id=7, group=9, endpoints=(Endpoint(place, group=5),), speaks=Speaks.HTTP, service=b"ns/web"
    )


def test_each_request_of_a_connection_is_told_of(world: World) -> None:
    telling = Telling(world)
    web = Web(world, lambda sock, _: sock.sendall(OK))
    world.decide(http(web.place))
    client = world.connect()
    request = b"GET /a?b=1 HTTP/1.1\r\nHost: shop\r\n\r\n"
    assert say(client, request) == OK
    assert say(client, b"DELETE /c HTTP/1.1\r\nHost: shop:80\r\n\r\n") == OK
    first, second = telling.wait(2)
    assert (first.method, first.authority, first.target, first.status) == (b"GET", b"shop", b"/a?b=1", 200)
    assert (second.method, second.authority, second.target) == (b"DELETE", b"shop:80", b"/c")
    assert (first.service, first.verdict, first.group, first.attempts) == (b"ns/web", 7, 5, 1)
    assert first.upstream == web.place
    assert (first.request_bytes, first.response_bytes, letters(first)) == (len(request), len(OK), set())
    assert (first.peer.port, first.connection) == (client.getsockname()[1], second.connection)
    assert first.upstream_us is not None
    assert first.upstream_us + first.proxy_us <= first.duration_us
    counted = [one for some in telling.exchanges.counters() for one in some if one.requests]
    assert [(one.service, one.group, one.status, one.requests) for one in counted] == [("ns/web", 5, 200, 2)]


def test_time_upstream_is_the_upstreams(world: World) -> None:
    telling = Telling(world)

    def slow(sock: socket.socket, _: bytes) -> None:
        time.sleep(0.2)
        sock.sendall(OK)

    world.decide(http(Web(world, slow).place))
    assert say(world.connect(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == OK
    (one,) = telling.wait(1)
    assert one.upstream_us is not None
    assert 190_000 < one.upstream_us <= one.duration_us
    assert one.proxy_us < 100_000


def test_an_endpoint_that_is_not_there_is_told_by_its_flag(world: World) -> None:
    telling = Telling(world)
    world.decide(http(closed_port()))
    assert say(world.connect(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 503 ")
    (one,) = telling.wait(1)
    assert (one.status, one.upstream_us, one.target) == (503, None, b"/")
    assert "UF" in letters(one)


def test_a_client_that_leaves_is_told_of(world: World) -> None:
    telling = Telling(world)
    world.decide(http(Web(world, lambda *_: None).place))
    client = world.connect()
    client.sendall(b"GET /waiting HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(0.2)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    (one,) = telling.wait(1)
    assert (one.target, one.status) == (b"/waiting", 0)
    assert letters(one) == {"DC"}


def test_an_upstream_that_ends_within_its_answer_is_told_of(world: World) -> None:
    telling = Telling(world)

    def half(sock: socket.socket, _: bytes) -> None:
        sock.sendall(OK[:-2])
        sock.shutdown(socket.SHUT_RDWR)

    world.decide(http(Web(world, half).place))
    client = world.connect()
    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    with suppress(ConnectionResetError):
        while client.recv(65536):
            pass
    (one,) = telling.wait(1)
    assert (one.status, letters(one)) == (200, {"UC"})


def test_what_is_no_http_on_a_port_declared_http_is_told_as_the_clients_fault(world: World) -> None:
    telling = Telling(world)
    world.decide(http(Web(world, lambda sock, _: sock.sendall(OK)).place))
    assert say(
        world.connect(), b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
    ).startswith(b"HTTP/1.1 400 ")
    (one,) = telling.wait(1)
    assert (one.status, letters(one)) == (400, {"DPE"})


def test_a_connection_without_a_request_tells_of_none(world: World) -> None:
    telling = Telling(world)
    world.decide(http(Web(world, lambda sock, _: sock.sendall(OK)).place))
    world.connect().close()
    assert say(world.connect(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == OK
    telling.wait(1)


def test_bytes_that_are_relayed_tell_of_no_request(world: World) -> None:
    telling = Telling(world)
    world.decide(relay_to(world.server("alpha")))
    assert world.greeting() == "alpha"
    assert telling.exchanges.take(records=True).ended == 0
