"""HTTP over real sockets: whatever a client does wrong, and how much of us one client can take."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from proxy.admin import connection, reader, serve
from proxy.admin.messages import Request, Response, Sink, Stream
from tests.unit.proxy.admin.served import Served, served

HEAD = b" HTTP/1.1\r\nHost: localhost\r\n"
BIG = b"x" * 200_000
asked: list[Request] = []
sinks: list[Sink] = []
ended: list[Sink] = []


def subscribe(sink: Sink) -> Callable[[], None]:
    sinks.append(sink)
    return lambda: ended.append(sink)


def answer(request: Request) -> Response | Stream:
    asked.append(request)
    if request.path == "/stream":
        return Stream("text/plain", subscribe, lambda count: b"missed %d\n" % count)
    if request.path == "/broken":
        raise RecursionError("deep")
    if request.path == "/big":
        return Response(200, BIG)
    return Response(404 if request.path == "/nothing" else 200, request.path.encode() + b" " + request.body)


@pytest.fixture
def endpoint() -> Iterator[Served]:
    for one in (asked, sinks, ended):
        one.clear()  # type: ignore[attr-defined]
    with served(answer) as made:
        yield made


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a" + HEAD + b"Host: localhost\r\n\r\n", 400),
        (b"POST /a" + HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 400),
        (b"POST /a" + HEAD + b"Content-Length: 1, 2\r\n\r\n0\r\n\r\n", 400),
        (b"POST /a" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"GET metrics" + HEAD + b"\r\n", 400),
        (b"GET /" + b"a" * reader.MAX_REQUEST + HEAD + b"\r\n", 431),
        (b"GET /" + HEAD + b"A: " + b"a" * 2 * reader.MAX_REQUEST, 431),
        (b"POST /a" + HEAD + b"Content-Length: 9999999\r\n\r\n" + b"a" * 2 * reader.MAX_REQUEST, 413),
    ],
)
def test_bad_requests_are_refused_and_end_the_connection(endpoint: Served, data: bytes, status: int) -> None:
    got = endpoint.raw(data, finish=False)
    assert got.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"connection: close" in got
    assert asked == []


def test_requests_on_one_connection_are_answered_in_order(endpoint: Served) -> None:
    one = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    body = b"POST /c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 26\r\n\r\nGET /x HTTP/1.1\r\nHost: y\r\n"
    got = endpoint.raw(one % b"/a" + one % b"/nothing" + body + one % b"/d")
    assert [part[:3] for part in got.split(b"HTTP/1.1 ")[1:] if part[:1].isdigit()] == [b"200", b"404", b"200", b"200"]
    assert [one.path for one in asked] == ["/a", "/nothing", "/c", "/d"]
    assert asked[2].body == b"GET /x HTTP/1.1\r\nHost: y\r\n"
    old = endpoint.raw(b"GET /a HTTP/1.0\r\n\r\n", finish=False)
    assert b"connection: close" in old


def test_any_cut_of_the_bytes_is_the_same_request(endpoint: Served) -> None:
    data = b"\r\nPOST /a" + HEAD + b"A: b\r\nContent-Length: 4\r\n\r\n\r\n\r\nGET /b" + HEAD + b"\r\n"
    with endpoint.connect() as sock:
        for byte in data:
            sock.sendall(bytes((byte,)))
            time.sleep(0.0005)
        until(lambda: len(asked) == 2, "both requests")
    assert [(one.path, one.body) for one in asked] == [("/a", b"\r\n\r\n"), ("/b", b"")]


def test_an_upgrade_is_answered_as_if_it_had_not_been_asked_for(endpoint: Served) -> None:
    got = endpoint.raw(b"GET /a" + HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", finish=False)
    assert got.count(b"HTTP/1.1 ") == 1
    assert got.startswith(b"HTTP/1.1 200 ")


def test_head_has_the_length_and_no_body(endpoint: Served) -> None:
    status, head, body = endpoint.ask("/a", "HEAD")
    assert (status, body) == (200, "")
    assert "content-length: 3" in head


def test_a_slow_request_is_ended(endpoint: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 0.2)
    assert endpoint.raw(b"GET /a HTTP/1.1\r\nHos", finish=False).startswith(b"HTTP/1.1 408 ")
    assert endpoint.raw(b"", finish=False) == b""


def test_a_newcomer_is_served_although_all_places_are_taken(endpoint: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "PLACES", 3)
    held = [endpoint.connect() for _ in range(3)]
    try:
        until(lambda: len(endpoint.endpoint) == 3, "three places taken")
        assert endpoint.ask("/a")[0] == 200
        assert held[0].recv(1) == b"", "the oldest makes room"
        held[1].sendall(b"GET /a" + HEAD + b"\r\n")
        assert held[1].recv(100).startswith(b"HTTP/1.1 200")
    finally:
        for sock in held:
            sock.close()


def test_pipelined_requests_are_answered_one_in_a_turn(endpoint: Served) -> None:
    """Between two of one client's requests everybody else has a turn, and nothing is read ahead of the answers."""
    held, go_on = threading.Event(), threading.Event()

    def hold_the_loop() -> None:
        held.set()
        go_on.wait(5)

    with endpoint.connect() as greedy, endpoint.connect() as probe:
        until(lambda: len(endpoint.endpoint) == 2, "both accepted")
        # The loop stands still until both have sent. Otherwise a fast loop is done with the greedy client before.
        endpoint.loop.call_soon_threadsafe(hold_the_loop)
        assert held.wait(5)
        try:
            greedy.sendall(b"GET /greedy HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1500)
            probe.sendall(b"GET /probe HTTP/1.1\r\nHost: localhost\r\n\r\n")
        finally:
            go_on.set()
        assert probe.recv(100).startswith(b"HTTP/1.1 200")
        until(lambda: len(asked) == 1501, "all to be asked")
        before = [one.path for one in asked].index("/probe")
        assert before < 100, f"the probe was answered after {before} of the greedy client's requests"


def test_a_client_that_does_not_read_costs_no_more_than_its_answer(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "UNSENT", 3 * len(BIG))
    held = [endpoint.connect() for _ in range(12)]
    try:
        for sock in held:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500)
        until(lambda: len(asked) >= 12, "all to be asked")
        time.sleep(0.1)

        def unsent() -> int:
            return sum(one.unsent for one in endpoint.endpoint._connections)

        assert endpoint.on_loop(unsent) <= 4 * len(BIG)
        assert endpoint.ask("/a")[0] == 200
    finally:
        for sock in held:
            sock.close()


def test_a_stream_goes_on_and_is_ended_when_the_client_goes(endpoint: Served) -> None:
    with endpoint.connect() as sock:
        sock.sendall(b"GET /stream" + HEAD + b"\r\n")
        until(lambda: sinks, "the subscription")
        endpoint.on_loop(lambda: sinks[0].put(b"one\n"))
        endpoint.on_loop(lambda: sinks[0].put(b"two\n"))
        got = b""
        while b"two" not in got:
            got += sock.recv(4096)
        assert b"transfer-encoding: chunked" in got.lower()
        assert got.endswith(b"4\r\none\n\r\n4\r\ntwo\n\r\n")
        assert ended == []
    until(lambda: ended == sinks, "the end of the subscription")


def test_a_stream_drops_what_the_client_leaves_no_room_for_and_says_how_much(endpoint: Served) -> None:
    with endpoint.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        sock.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        until(lambda: sinks, "the subscription")
        line = b"y" * 9_999 + b"\n"

        def flood() -> None:
            for _ in range(1000):
                sinks[0].put(line)

        endpoint.on_loop(flood)
        assert endpoint.on_loop(lambda: sum(one.unsent for one in endpoint.endpoint._connections)) < 300_000
        got = b""
        sock.settimeout(0.3)
        try:
            while True:
                got += sock.recv(1 << 20)
        except TimeoutError:
            pass
        endpoint.on_loop(lambda: sinks[0].put(b"last\n"))
        sock.settimeout(5)
        while not got.endswith(b"last\n"):
            got += sock.recv(1 << 20)
    lines = got.partition(b"\r\n\r\n")[2].splitlines(keepends=True)
    missed = [int(one.split()[1]) for one in lines if one.startswith(b"missed")]
    assert lines.count(line) + sum(missed) == 1000
    assert missed
    assert missed[0] > 500


def test_streams_are_bounded(endpoint: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "STREAMS", 1)
    with endpoint.connect() as sock:
        sock.sendall(b"GET /stream" + HEAD + b"\r\n")
        until(lambda: sinks, "the subscription")
        assert endpoint.raw(b"GET /stream" + HEAD + b"\r\n", finish=False).startswith(b"HTTP/1.1 503 ")


def test_a_probe_is_answered_beside_clients_that_ask_without_a_pause(endpoint: Served) -> None:
    stop = threading.Event()

    def ask_on() -> None:
        with endpoint.connect() as sock:
            while not stop.is_set():
                sock.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
                sock.recv(1 << 20)

    threads = [threading.Thread(target=ask_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            assert endpoint.ask("/healthz")[0] == 200
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_an_endpoint_that_fails_costs_an_answer_and_not_the_server(
    endpoint: Served, caplog: pytest.LogCaptureFixture
) -> None:
    status, _, body = endpoint.ask("/broken")
    assert (status, body) == (500, "this endpoint failed; the proxy's log has the reason\n")
    assert "GET /broken failed" in caplog.text
    assert "RecursionError" in caplog.text
    assert endpoint.ask("/a")[0] == 200
