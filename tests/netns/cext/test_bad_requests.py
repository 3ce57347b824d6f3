"""Requests that a recipient could read in two ways, or not at all (RFC 9112, RFC 9110): each is answered by the proxy
and forwarded by no byte, on ports that are declared HTTP and on those where it is only detected."""

from __future__ import annotations

import re
import socket
from contextlib import suppress

import pytest

from cext.engine.values import Speaks
from tests.netns.cext.engine_world import World, until
from tests.netns.cext.http_world import Talk, Web, answering, exactly, head, heard, speaks
from tests.netns.cext.told import Telling, letters

pytestmark = pytest.mark.kernel
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED: dict[str, tuple[bytes, int]] = {
    # RFC 9112, 2.2: the head's lines
    "a line feed alone ends lines": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "a carriage return alone ends the request line": (b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
    "a carriage return within a value": (GET + b"X: a\rb\r\n\r\n", 400),
    "NUL in the target": (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "NUL in a name": (GET + b"X\0Y: a\r\n\r\n", 400),
    "NUL in a value": (GET + b"X: a\0\r\n\r\n", 400),
    "white space before the first header": (b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", 400),
    # RFC 9112, 3: the request line
    "two spaces before the target": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a tab instead of a space": (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "HTTP in lower case": (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    "a version of two digits": (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    "HTTP/2.0 in a request line": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "two Hosts": (GET + b"Host: b\r\n\r\n", 400),
    "two Hosts that are the same": (GET + b"Host: a\r\n\r\n", 400),
    # RFC 9112, 5: fields
    "white space before a colon": (POST + b"Content-Length : 1\r\n\r\nx", 400),
    "a tab before a colon": (POST + b"Content-Length\t: 1\r\n\r\nx", 400),
    "a folded value": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "a folded coding": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "a line without a colon": (GET + b"Content-Length\r\n\r\n", 400),
    "a name that is no token": (GET + b"X(Y: a\r\n\r\n", 400),
    "an empty name": (GET + b": a\r\n\r\n", 400),
    # RFC 9112, 6.1: Transfer-Encoding
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked and a length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "a length and chunked": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked in two fields": (CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked, then another coding": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "a list with an empty member": (POST + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 400),
    "a coding with a parameter": (POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 400),
    "another coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    "nearly chunked": (POST + b"Transfer-Encoding: chunke\r\n\r\n", 501),
    # RFC 9112, 6.2 and 6.3: Content-Length
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy", 400),
    "one length twice": (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    "a list of lengths": (POST + b"Content-Length: 1, 1\r\n\r\nx", 400),
    "a length with a sign": (POST + b"Content-Length: +1\r\n\r\nx", 400),
    "a hexadecimal length": (POST + b"Content-Length: 0x1\r\n\r\nx", 400),
    "a length with a fraction": (POST + b"Content-Length: 1.0\r\n\r\nx", 400),
    "two lengths in one field": (POST + b"Content-Length: 1 2\r\n\r\nx", 400),
    "an empty length": (POST + b"Content-Length:\r\n\r\n", 400),
    "a length beyond 64 bits": (POST + b"Content-Length: 18446744073709551617\r\n\r\nx", 400),
    # RFC 9110, 9.3.6: CONNECT
    "CONNECT with a length": (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\nx", 400),
    "CONNECT with chunks": (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    # sizes
    "an endless target": (b"GET /" + b"t" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "an endless header": (GET + b"X: " + b"h" * 70_000 + b"\r\n\r\n", 431),
    "an endless name": (GET + b"h" * 70_000 + b": x\r\n\r\n", 431),
    "more headers than are taken": (GET + b"X: y\r\n" * 600 + b"\r\n", 431),
}


def listener(seen: list[bytes]) -> Talk:
    def talk(sock: socket.socket) -> None:
        while part := sock.recv(65536):
            seen.append(part)

    return talk


def refused(world: World, name: str, telling: Telling, seen: list[bytes]) -> str:
    """What is wrong with how the request is refused; empty: nothing."""
    request, status = REFUSED[name]
    with world.connect() as client:
        client.sendall(request)
        answer = heard(client)
    (record,) = telling.more(1)
    if re.findall(rb"HTTP/1.1 (\d+)\b", answer.partition(b"\r\n\r\n")[0]) != [b"%d" % status]:
        return f"{name}: {answer[:60]!r}"
    if b"connection: close\r\n" not in answer or seen or (record.status, letters(record)) != (status, {"DPE"}):
        return f"{name}: {answer!r}, {record.status} {letters(record)}, forwarded: {seen}"
    return ""


@pytest.mark.takes(4)
@pytest.mark.parametrize("how", [Speaks.HTTP, Speaks.DETECT], ids=["declared", "detected"])
def test_they_are_answered_named_and_forwarded_by_no_byte(world: World, how: Speaks) -> None:
    seen: list[bytes] = []
    telling = Telling(world)
    world.decide(speaks(Web(world, listener(seen)), how))
    # A target that fills all that detection looks at is not known to be one where HTTP is only detected.
    names = [name for name in REFUSED if how is Speaks.HTTP or name != "an endless target"]
    assert [wrong for name in names if (wrong := refused(world, name, telling, seen))] == []


BODIES: dict[str, bytes] = {
    "a size that is no number": b"zz\r\nhello\r\n0\r\n\r\n",
    "a size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "white space behind a size": b"5 \r\nhello\r\n0\r\n\r\n",
    "a line feed alone behind a size": b"5\nhello\r\n0\r\n\r\n",
    "a line feed alone behind a chunk": b"5\r\nhello\n0\r\n\r\n",
    "a chunk longer than it says": b"5\r\nhello!\r\n0\r\n\r\n",
    "a line feed within an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "NUL in a trailer": b"0\r\nX: \0\r\n\r\n",
    "a trailer without a colon": b"0\r\nGET / HTTP/1.1\r\n\r\n",
    "endless extensions": b"5;" + b"a" * 200_000,
    "endless trailers": b"0\r\n" + b"X: yyyyyyyyy\r\n" * 20_000,
}


def broken(world: World, name: str) -> str:
    """What is wrong with how a request with such a body ends; empty: nothing."""
    body = BODIES[name]
    seen: list[bytes] = []
    ends: list[str] = []

    def talk(sock: socket.socket) -> None:
        try:
            listener(seen)(sock)
            ends.append("end")
        except OSError:
            ends.append("reset")

    world.decide(speaks(Web(world, talk)))
    answer = b""
    with world.connect() as client:
        client.sendall(CHUNKED)
        until(lambda: seen, "the head at the server")
        with suppress(OSError):  # the connection may end while the client still sends
            client.sendall(body + GET + b"\r\n")
        with suppress(ConnectionResetError):
            answer = heard(client)
    until(lambda: ends, "the server's end")
    got = b"".join(seen)[len(CHUNKED) - 2 :]
    allowed = (b"HTTP/1.1 400 ",) if len(body) < 1000 else (b"", b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")
    if answer[:13] not in allowed or ends != ["reset"] or b"GET / " in got or b"\r\n0\r\n\r\n" in got:
        return f"{name}: {answer[:13]!r}, {ends}, {got[:80]!r}"
    return ""


@pytest.mark.takes(3)
def test_a_body_that_breaks_its_framing_is_never_whole_to_the_server(world: World) -> None:
    """The head has been forwarded when the body turns out bad: the server sees a reset, and no other request."""
    assert [wrong for name in BODIES if (wrong := broken(world, name))] == []


PASSED: dict[str, bytes] = {
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "an empty Host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "a Host other than the target's": b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/1.0 without Host": b"GET / HTTP/1.0\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method nobody knows": b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
    "one line break before it": b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "white space around a value": b"GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n",
    "bytes above ASCII": b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\xfe\r\n\r\n",
    "headers with one name": b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\nX: 1\r\n\r\n",
    "HEAD with a body": b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "a large head": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"h" * 64_000 + b"\r\n\r\n",
    "an upgrade that is declined": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "Upgrade without Connection": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n",
}


def test_what_is_unusual_but_clear_passes_as_it_came(world: World) -> None:
    seen: list[bytes] = []

    def talk(sock: socket.socket) -> None:
        rest = b""
        while (request := head(sock, rest)[0]) != b"":
            seen.append(request)
            sock.sendall(OK[:-2] if request.startswith(b"HEAD") else OK)

    world.decide(speaks(Web(world, talk)))
    for name, request in PASSED.items():
        wanted = OK[:-2] if request.startswith(b"HEAD") else OK
        with world.connect() as client:
            client.sendall(request)
            assert exactly(client, len(wanted)) == wanted, name
    assert seen == list(PASSED.values())


def test_an_upgrade_with_a_body_is_a_relay_behind_the_body(world: World) -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"

    def talk(sock: socket.socket) -> None:
        rest = head(sock)[1]
        assert rest + exactly(sock, 5 - len(rest)) == b"hello"
        sock.sendall(switched)
        while part := sock.recv(1000):
            sock.sendall(part.upper())

    world.decide(speaks(Web(world, talk)))
    with world.connect() as client:
        client.sendall(POST + b"Upgrade: x\r\nConnection: upgrade\r\nContent-Length: 5\r\n\r\nhello")
        assert exactly(client, len(switched)) == switched
        client.sendall(b"\0any bytes\r\n\r\n")
        assert exactly(client, 14) == b"\0ANY BYTES\r\n\r\n"


def test_bytes_behind_a_refused_request_are_no_request(world: World) -> None:
    web = Web(world, answering(OK))
    telling = Telling(world)
    world.decide(speaks(web))
    with world.connect() as client:
        client.sendall(POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + GET + b"\r\n")
        assert heard(client).count(b"HTTP/1.1 ") == 1
    telling.wait(1)
    assert web.accepted == 0


def test_a_pipelined_request_that_is_bad_is_answered_after_those_before_it(world: World) -> None:
    web = Web(world, answering(OK))
    world.decide(speaks(web))
    with world.connect() as client:
        client.sendall(GET + b"\r\n" + GET + b"\r\n" + GET + b"Host: b\r\n\r\n" + GET + b"\r\n")
        assert exactly(client, 2 * len(OK)) == OK + OK
        assert heard(client).startswith(b"HTTP/1.1 400 ")
