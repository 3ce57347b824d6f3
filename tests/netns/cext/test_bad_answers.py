"""Answers that a client could read in two ways, or not at all (RFC 9112, 6 and 11): 502 while nothing has been said to
the client, an end else. What an upstream says that nobody asked for reaches no client."""

from __future__ import annotations

import dataclasses
import re
import socket
import struct
import threading
import time
from contextlib import suppress

import pytest

from cext.engine.values import Action, Speaks, Verdict
from tests.netns.cext.engine_world import SERVICE, World, until
from tests.netns.cext.http_world import Talk, Web, answering, exactly, head, heard, speaks
from tests.netns.cext.told import Telling, letters

pytestmark = pytest.mark.kernel
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

REFUSED: dict[str, bytes] = {
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "no version": b"HTTP 200 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "a line feed alone ends lines": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "a carriage return within a value": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nhi",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nhi",
    "white space before a colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
    "a folded value": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
    "a line without a colon": b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nhi",
    "chunked and a length": CHUNKED[:-2] + b"Content-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "a length and chunked": OK[:-4] + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0" + CHUNKED[8:] + b"2\r\nhi\r\n0\r\n\r\n",
    "chunked twice": CHUNKED[:-4] + b", chunked\r\n\r\n0\r\n\r\n",
    "chunked, then another coding": CHUNKED[:-4] + b", gzip\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nevil",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi",
    "a length beyond 64 bits": b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nhi",
    "204 with a length": b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi",
    "204 with chunks": b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "103 with a length": b"HTTP/1.1 103 Early\r\nContent-Length: 2\r\n\r\nhi" + OK,
    "101 without being asked": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + EVIL,
    "an endless head": b"HTTP/1.1 200 OK\r\nX: " + b"h" * 70_000 + b"\r\n\r\n",
    "an endless reason": b"HTTP/1.1 200 " + b"r" * 70_000 + b"\r\n\r\n",
    "more headers than are taken": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 600 + b"\r\n",
    "an end within the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "an end behind a hint": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "nonsense behind a hint": b"HTTP/1.1 103 Early Hints\r\n\r\nnonsense\r\n\r\n",
}


def once(answer: bytes) -> Talk:
    """Answers one request and ends."""

    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(answer)
        with suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            heard(sock)

    return talk


def statuses(answer: bytes) -> list[bytes]:
    return re.findall(rb"(?m)^HTTP/1\.\d (\d+)", answer)


@pytest.mark.takes(3)
def test_they_become_502_and_are_named(world: World) -> None:
    telling = Telling(world)
    wrong = []
    for name, answer in REFUSED.items():
        world.decide(speaks(Web(world, once(answer))))
        with world.connect() as client:
            client.sendall(GET + GET)
            client.shutdown(socket.SHUT_WR)
            got = heard(client)
        record, _ = telling.more(2)
        if statuses(got)[-1:] != [b"502"] or b"hi\r\n" in got or b"evil" in got:
            wrong.append(f"{name}: {got!r}")
        if record.status != 502 or not {"UPE", "UC"} & letters(record):
            wrong.append(f"{name}: {record.status}, {letters(record)}")
    assert wrong == []


BROKEN: dict[str, bytes] = {
    "a size that is no number": b"zz\r\nhi\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"10000000000000002\r\nhi\r\n0\r\n\r\n",
    "a chunk longer than it says": b"2\r\nhello\r\n0\r\n\r\n",
    "a line feed alone behind a size": b"2\nhi\r\n0\r\n\r\n",
    "NUL in a trailer": b"2\r\nhi\r\n0\r\nX: \0\r\n\r\n",
    "an end within a chunk": b"5\r\nhi",
    "an end without the last chunk": b"2\r\nhi\r\n",
    "an end within the trailers": b"2\r\nhi\r\n0\r\nX: y\r\n",
    "endless extensions": b"2;" + b"e" * 200_000,
    "endless trailers": b"0\r\n" + b"X: yyyyyyyyy\r\n" * 20_000,
}


@pytest.mark.takes(2)
def test_a_body_that_breaks_its_framing_never_looks_whole(world: World) -> None:
    telling = Telling(world)
    wrong = []
    for name, body in BROKEN.items():
        world.decide(speaks(Web(world, once(CHUNKED + body))))
        got = b""
        with world.connect() as client, suppress(ConnectionResetError):
            client.sendall(GET)
            while part := client.recv(65536):
                got += part
        (record,) = telling.more(1)
        if got.endswith(b"\r\n0\r\n\r\n") or len(statuses(got)) > 1 or not {"UPE", "UC"} & letters(record):
            wrong.append(f"{name}: {got[:100]!r}, {record.status}, {letters(record)}")
    assert wrong == []


LEFT_OVER: dict[str, tuple[bytes, bytes]] = {
    "a body behind a HEAD's answer": (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
    "a body behind 304": (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n"),
    "a body behind 204": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "more than the length says": (b"GET", OK),
    "bytes behind the last chunk": (b"GET", CHUNKED + b"2\r\nhi\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("together", [True, False], ids=["at once", "later"])
def test_what_comes_behind_an_answer_reaches_nobody(world: World, together: bool) -> None:
    for name, (method, answer) in LEFT_OVER.items():
        accepted: list[int] = []

        def talk(sock: socket.socket, answer: bytes = answer, accepted: list[int] = accepted) -> None:
            accepted.append(1)
            rest = b""
            while (request := head(sock, rest)[0]) != b"":
                if request.startswith(b"GET /next"):
                    sock.sendall(OK)
                    continue
                sock.sendall(answer + (EVIL if together else b""))
                if not together:
                    time.sleep(0.03)
                    sock.sendall(EVIL)

        world.decide(speaks(Web(world, talk)))
        with world.connect() as client:
            client.sendall(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert exactly(client, len(answer)) == answer, name
            time.sleep(0.1)
            client.sendall(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            assert exactly(client, len(OK)) == OK, name
        assert len(accepted) == 2, name


def sized(length: int) -> bytes:
    """An answer of so many bytes, its head included."""
    start = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    body = length - len(start % length)
    return start % body + b"b" * (length - len(start % body))


@pytest.mark.parametrize("pooled", [True, False], ids=["a service", "no service"])
@pytest.mark.parametrize("behind", [b"", EVIL], ids=["nothing", "an answer"])
def test_an_answer_that_fills_buffers_exactly_ends_where_it_ends(world: World, pooled: bool, behind: bytes) -> None:
    """The read that takes its last byte does not say whether there is more."""
    whole = sized(128 * 65536)

    def talk(sock: socket.socket) -> None:
        rest = b""
        while (request := head(sock, rest)[0]) != b"":
            sock.sendall(OK if request.startswith(b"GET /next") else whole + behind)

    if pooled:
        world.decide(speaks(Web(world, talk)))
    else:
        Web(world, talk, SERVICE)
        world.decide(Verdict(Action.PASS, id=1, group=7, speaks=Speaks.HTTP))
    for _ in range(5):
        with world.connect() as client:
            client.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.05)  # so that all of it is there, and reads of the proxy fill their buffers
            assert exactly(client, len(whole)) == whole
            client.sendall(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            got = exactly(client, len(OK)) if pooled or not behind else client.recv(len(OK))
            assert got == (OK if pooled or not behind else b"")
        with world.connect() as other:
            other.sendall(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            assert exactly(other, len(OK)) == OK


def within(idle_timeout_ms: int, web: Web) -> Verdict:
    return dataclasses.replace(speaks(web), idle_timeout_ms=idle_timeout_ms)


@pytest.mark.takes(4)
def test_a_hint_that_is_cut_is_followed_by_no_answer_of_ours(world: World) -> None:
    """The client has got a part of an informational head: a status line behind it would be one of its headers."""
    hint = b"HTTP/1.1 103 Early Hints\r\nX: " + b"h" * 60_000 + b"\r\n\r\n"
    gone = threading.Event()

    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.settimeout(1)
        with suppress(OSError):
            while True:
                sock.sendall(hint)
        gone.wait(10)

    world.decide(within(2000, Web(world, talk)))
    telling = Telling(world)
    got = b""
    with world.connect() as client:
        client.sendall(GET)
        time.sleep(3)  # what the client has not taken for two seconds is given up, and the connection two seconds later
        with suppress(ConnectionResetError):
            while part := client.recv(65536):
                got += part
    gone.set()
    (record,) = telling.wait(1)
    assert letters(record) == {"UT"}
    cut = got[len(got) - len(got) % len(hint) :]
    assert hint.startswith(cut), f"behind {len(got)} bytes: {cut[-200:]!r}"


def test_an_answer_that_a_reset_follows_at_once_is_delivered(world: World) -> None:
    """What a server does that answers early and does not read the rest: its kernel resets."""

    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(OK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    world.decide(speaks(Web(world, talk)))
    for _ in range(50):
        with world.connect() as client:
            client.sendall(GET)
            assert exactly(client, len(OK)) == OK


def test_an_idle_upstream_that_speaks_is_closed(world: World) -> None:
    closed: list[bool] = []

    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(OK)
        time.sleep(0.1)
        sock.sendall(EVIL)
        with suppress(ConnectionResetError):
            assert heard(sock) == b""
        closed.append(True)

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(GET)
        assert exactly(client, len(OK)) == OK
    until(lambda: closed, "the end of the idle connection")


def test_a_slow_head_gets_408_when_its_connection_is_idle_for_too_long(world: World) -> None:
    web = Web(world, answering(OK))
    telling = Telling(world)
    world.decide(within(400, web))
    with world.connect() as client:
        client.sendall(GET[:-2])
        assert head(client)[0].startswith(b"HTTP/1.1 408 ")
    (record,) = telling.wait(1)
    assert (record.status, letters(record)) == (408, {"SI"})
