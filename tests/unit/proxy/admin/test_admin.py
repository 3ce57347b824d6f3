"""The admin endpoint's HTTP over real sockets: routes, methods, and whatever a client can do wrong."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from proxy.admin import http
from proxy.admin.hosts import is_loopback_host
from proxy.admin.http import HttpServerConnection
from proxy.admin.routes import Actions, Sources, admin_routes, answerer, telemetry_routes


@dataclass
class Endpoint:
    """An endpoint on a loop in a thread of its own; `state`, `level` and `did` are what stands behind it."""

    port: int = 0
    state: str = "serving"
    level: str = "info"
    did: list[str] = field(default_factory=list)

    def raw(self, data: bytes, *, finish: bool = True) -> bytes:
        """What a client gets that sends this and then nothing more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(data)
            if finish:
                sock.shutdown(socket.SHUT_WR)
            found = b""
            while part := sock.recv(65536):
                found += part
            return found

    def ask(self, target: str, method: str = "GET", host: str = "localhost", more: str = "") -> tuple[int, str, str]:
        """Status, head and body."""
        text = self.raw(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n".encode())
        head, _, body = text.decode().partition("\r\n\r\n")
        return int(head.split()[1]), head.lower(), body

    def set_level(self, level: str) -> None:
        if level not in ("debug", "info"):
            raise ValueError(f"level {level!r}: allowed are debug, info")
        self.level = level


def serve(endpoint: Endpoint, *, admin: bool) -> Iterator[Endpoint]:
    sources = Sources(
        state=lambda: endpoint.state,
        metrics=lambda accept: ("text/plain", b"x 1\n" + accept.encode()),
        connections=lambda: [{"state": "relaying"}],
        listeners=list,
        clusters=list,
        config=dict,
        log_level=lambda: endpoint.level,
    )
    actions = Actions(endpoint.set_level, lambda: endpoint.did.append("drain"), lambda: endpoint.did.append("quit"))
    routes = admin_routes(sources, actions) if admin else telemetry_routes(sources)
    answer = answerer(routes, local_only=admin)
    loop = uvloop.new_event_loop()
    connections: set[HttpServerConnection] = set()

    async def start() -> asyncio.AbstractServer:
        server = await loop.create_server(lambda: HttpServerConnection(loop, answer, connections), "127.0.0.1", 0)
        endpoint.port = server.sockets[0].getsockname()[1]
        return server

    server = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield endpoint
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
    assert not connections


@pytest.fixture
def admin() -> Iterator[Endpoint]:
    yield from serve(Endpoint(), admin=True)


@pytest.fixture
def telemetry() -> Iterator[Endpoint]:
    yield from serve(Endpoint(), admin=False)


def test_readiness_follows_the_state_and_liveness_does_not(telemetry: Endpoint) -> None:
    assert telemetry.ask("/healthz/ready")[0] == 200
    telemetry.state = "draining"
    assert telemetry.ask("/healthz/ready")[0] == 503
    assert telemetry.ask("/healthz/live")[0] == 200


@pytest.mark.parametrize("path", ["/connections", "/config_dump", "/quitquitquit", "/drain", "/logging", "/"])
def test_telemetry_serves_nothing_but_metrics_and_health(telemetry: Endpoint, path: str) -> None:
    assert telemetry.ask(path)[0] == 404
    assert telemetry.ask(path, "POST")[0] == 404
    assert telemetry.ask("/metrics", host="any.name")[2].startswith("x 1")


def test_admin_paths(admin: Endpoint) -> None:
    for path in ("/connections", "/listeners", "/clusters", "/config_dump"):
        status, head, body = admin.ask(path)
        assert (status, "application/json" in head) == (200, True)
        json.loads(body)
    assert admin.ask("/metrics", more="Accept: a/b\r\n")[2] == admin.ask("/stats/prometheus", more="Accept: a/b\r\n")[2]
    assert admin.ask("/connections")[2] == '[{"state": "relaying"}]\n'


def test_what_changes_something_needs_post_and_says_so(admin: Endpoint) -> None:
    for path in ("/drain", "/quitquitquit"):
        status, head, _ = admin.ask(path)
        assert (status, "allow: post" in head) == (405, True)
    assert admin.did == []
    assert admin.ask("/drain", "POST")[0] == admin.ask("/quitquitquit", "POST")[0] == 200
    assert admin.did == ["drain", "quit"]
    status, head, _ = admin.ask("/metrics", "DELETE")
    assert (status, "allow: get, head" in head) == (405, True)


def test_logging_level_is_shown_set_and_checked(admin: Endpoint) -> None:
    assert admin.ask("/logging")[2] == "info\n"
    assert admin.ask("/logging?level=debug", "POST")[2] == "debug\n"
    for bad in ("/logging", "/logging?level=loud", "/logging?level=info&level=debug", "/logging?level="):
        assert admin.ask(bad, "POST")[0] == 400
    assert admin.level == "debug"


def test_head_has_the_length_and_no_body(admin: Endpoint) -> None:
    status, head, body = admin.ask("/connections", "HEAD")
    assert (status, body) == (200, "")
    assert f"content-length: {len(admin.ask('/connections')[2])}" in head


def test_a_rebound_name_does_not_reach_the_admin_endpoint(admin: Endpoint) -> None:
    for host in ("evil.example", "evil.example:15000", "10.0.0.1", "localhost.evil.example", "127.0.0.1.nip.io", ""):
        assert admin.ask("/quitquitquit", "POST", host=host)[0] == 403
    assert admin.did == []
    for host in ("localhost", "LOCALHOST:15000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:15000", "127.1.2.3"):
        assert admin.ask("/connections", host=host)[0] == 200


HEAD = b" HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics" + HEAD + b"Host: localhost\r\n\r\n", 400),
        (b"POST /drain" + HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 400),
        (b"GET metrics" + HEAD + b"\r\n", 400),
        (b"GET /" + b"a" * http.MAX_REQUEST + HEAD + b"\r\n", 431),
        (b"GET /" + HEAD + b"A: " + b"a" * 2 * http.MAX_REQUEST, 431),
        (b"POST /drain" + HEAD + b"Content-Length: 9999999\r\n\r\n" + b"a" * 2 * http.MAX_REQUEST, 431),
    ],
)
def test_bad_requests_are_refused_and_end_the_connection(admin: Endpoint, data: bytes, status: int) -> None:
    answer = admin.raw(data, finish=False)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"connection: close" in answer
    assert admin.did == []


def test_requests_on_one_connection_are_answered_in_order(admin: Endpoint) -> None:
    one = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = admin.raw(one % b"/healthz/live" + one % b"/nothing" + one % b"/logging")
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]
    old = admin.raw(b"GET /healthz/live HTTP/1.0\r\n\r\n", finish=False)
    assert b"connection: close" in old


def test_an_upgrade_is_answered_as_if_it_had_not_been_asked_for(admin: Endpoint) -> None:
    answer = admin.raw(
        b"GET /healthz/live HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", finish=False
    )
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_slow_request_is_ended(admin: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_S", 0.2)
    assert admin.raw(b"GET /healthz/live HTTP/1.1\r\nHos", finish=False).startswith(b"HTTP/1.1 408 ")
    assert admin.raw(b"", finish=False) == b""


def test_connections_to_the_endpoint_are_bounded(admin: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_CONNECTIONS", 3)
    held = [socket.create_connection(("127.0.0.1", admin.port), timeout=5) for _ in range(3)]
    try:
        assert admin.raw(b"", finish=False).startswith(b"HTTP/1.1 503 ")
    finally:
        for sock in held:
            sock.close()


@given(st.text(max_size=30))
def test_any_host_header_is_judged(text: str) -> None:
    assert is_loopback_host(text) in (True, False)


@given(st.ip_addresses())
def test_only_loopback_addresses_are_this_machine(ip: object) -> None:
    text = f"[{ip}]" if ":" in str(ip) else str(ip)
    assert is_loopback_host(f"{text}:15000") is bool(getattr(ip, "is_loopback"))  # noqa: B009
