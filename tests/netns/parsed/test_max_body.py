"""`--max-body`: what is larger is answered 413, and upstream takes no part of it for the whole."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.netns.cext.http_world import exactly, head
from tests.netns.parsed.routes_rig import DEAD, quiet
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, dial, read_all, rules, until

pytestmark = pytest.mark.kernel
OK = b"HTTP/1.1 200 Fine\r\ncontent-length: 0\r\n\r\n"
LIMIT = 1000


class Upstream:
    """Answers what it gets to its end, and remembers it."""

    def __init__(self) -> None:
        self.whole: list[bytes] = []
        self.cut = 0

    def __call__(self, sock: socket.socket) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while True:
                request, rest = head(sock, rest)
                if not request.endswith(b"\r\n\r\n"):
                    return
                try:
                    body, rest = self._body(sock, request.lower(), rest)
                except (OSError, AssertionError):
                    self.cut += 1
                    return
                self.whole.append(body)
                sock.sendall(OK)

    def _body(self, sock: socket.socket, request: bytes, rest: bytes) -> tuple[bytes, bytes]:
        if b"chunked" in request:
            while not rest.endswith(b"0\r\n\r\n"):
                more = sock.recv(65536)
                assert more
                rest += more
            return rest, b""
        length = int(request.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        return rest + exactly(sock, length - len(rest)), b""


@pytest.fixture
def upstream(lab: Lab) -> Iterator[Upstream]:
    one = Upstream()
    with Server(lab.peer, PEER_V4, DEAD, one), rules(lab.app):
        yield one


def chunked(*sizes: int) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (size, b"c" * size) for size in sizes)


POST = b"POST /p HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def test_lengths(lab: Lab, upstream: Upstream) -> None:
    with (
        ProxyProcess(lab, "--max-body", str(LIMIT), "--log-format", "json") as proxy,
        dial(lab.app, PEER_V4, DEAD) as client,
    ):
        client.sendall(POST + b"Content-Length: %d\r\n\r\n" % LIMIT + b"l" * LIMIT)
        assert exactly(client, len(OK)) == OK
        client.sendall(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (LIMIT + 1))
        answer, _ = head(client)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer
        told = until(lambda: [one for one in proxy.access_log() if one.get("status") == 413], "the log's line")
        assert (told[0]["path"], told[0]["flags"]) == ("/p", "-")
    assert upstream.whole == [b"l" * LIMIT]


def test_chunks(lab: Lab, upstream: Upstream) -> None:
    with ProxyProcess(lab, "--max-body", str(LIMIT)):
        with dial(lab.app, PEER_V4, DEAD) as client:
            body = chunked(*[1] * LIMIT) + b"0\r\n\r\n"
            client.sendall(CHUNKED + body)
            assert exactly(client, len(OK)) == OK
            assert upstream.whole == [body]
            client.sendall(CHUNKED + chunked(LIMIT + 1))
            assert head(client)[0].startswith(b"HTTP/1.1 413 ")
        with dial(lab.app, PEER_V4, DEAD) as client:
            client.sendall(CHUNKED + chunked(LIMIT - 1))
            quiet(0.1)
            client.sendall(chunked(2))
            assert head(client)[0].startswith(b"HTTP/1.1 413 ")
    assert len(upstream.whole) == 1


def test_an_answer_that_has_begun_ends(lab: Lab) -> None:
    def serve(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(b"HTTP/1.1 200 Early\r\ncontent-length: 100\r\n\r\nbegun")
        with contextlib.suppress(OSError):
            while sock.recv(65536):
                pass

    with (
        Server(lab.peer, PEER_V4, DEAD, serve),
        rules(lab.app),
        ProxyProcess(lab, "--max-body", str(LIMIT)),
        dial(lab.app, PEER_V4, DEAD) as client,
    ):
        client.sendall(CHUNKED + chunked(10))
        answer = exactly(client, len(b"HTTP/1.1 200 Early\r\ncontent-length: 100\r\n\r\nbegun"))
        assert answer.endswith(b"begun")
        client.sendall(chunked(LIMIT))
        with contextlib.suppress(ConnectionResetError):
            assert read_all(client) == b""


def test_none_by_default(lab: Lab, upstream: Upstream) -> None:
    with ProxyProcess(lab), dial(lab.app, PEER_V4, DEAD) as client:
        client.sendall(POST + b"Content-Length: %d\r\n\r\n" % 5_000_000 + b"l" * 5_000_000)
        assert exactly(client, len(OK)) == OK
