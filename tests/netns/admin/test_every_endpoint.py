"""Each admin endpoint of a running proxy: reading changes nothing, and nothing that is sent to one ends the proxy."""

from __future__ import annotations

import json
import socket
import time

import pytest

from proxy.admin.endpoints import ADMIN
from tests.lab import Lab
from tests.netns.proxy.proxy_rig import ProxyProcess, until
from tests.netns.proxy.test_proxy_guarded import WORKLOAD, post

pytestmark = pytest.mark.kernel

QUERIES = ("", "level=debug", "timeout_s=0", "weight=0&name=x", "id=1&" + "a=b&" * 500, "%00=%ff&level=debug")
BODIES = (
    b"",
    b"{",
    b"null",
    b"[" * 30_000,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b'{"weights": {"a": NaN, "b": 1e999, "c": -1}}',
    b"\xff\xfe\x00" * 2_000,
    b"spec: {" + b"&a [*a], " * 200 + b"}",
    b'{"service": "' + b"x" * 60_000 + b'"}',
)
ENDING = ("/drain", "/quitquitquit")
"""They end what the others are asked of, whatever is sent along."""


def state(proxy: ProxyProcess) -> list[object]:
    """What requests could have changed."""
    dump = json.loads(proxy.request("/config_dump")[1])
    clusters = json.loads(proxy.request("/clusters")[1])
    return [dump, clusters, proxy.request("/logging"), proxy.request("/listeners"), proxy.request("/healthz/ready")]


def send(lab: Lab, method: str, target: str, body: bytes = b"") -> bytes:
    """The beginning of the answer; a stream is left after it."""
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with lab.app.entered():
        client = socket.create_connection(("127.0.0.1", 15000), timeout=10)
    with client:
        client.sendall(head + body)
        return client.recv(64)


def test_reading_changes_nothing(lab: Lab) -> None:
    with ProxyProcess(lab) as proxy:
        until(lambda: proxy.request("/healthz/ready")[0] == 200, "readiness")
        before = state(proxy)
        for path, entry in ADMIN.items():
            for query in QUERIES:
                for method in ("GET", "HEAD"):
                    answer = send(lab, method, f"{path}?{query}")
                    expected = b"HTTP/1.1 405" if entry.read is None else b"HTTP/1.1 "
                    assert answer.startswith(expected), (path, query, answer)
                    assert not answer.startswith(b"HTTP/1.1 500"), (path, query)
        assert state(proxy) == before
        assert "Traceback" not in proxy.stderr()


def test_the_workload_changes_nothing(lab: Lab) -> None:
    with ProxyProcess(lab) as proxy:
        until(lambda: proxy.request("/healthz/ready")[0] == 200, "readiness")
        before = state(proxy)
        for path, entry in ADMIN.items():
            assert post(lab, path, *WORKLOAD) == ("405" if entry.change is None else "403"), path
        time.sleep(0.3)
        assert state(proxy) == before


@pytest.mark.parametrize("body", range(len(BODIES)))
def test_whatever_is_posted_the_proxy_serves(lab: Lab, body: int) -> None:
    with ProxyProcess(lab) as proxy:
        for path, entry in ADMIN.items():
            if entry.change is None or path in ENDING:
                continue
            for query in QUERIES:
                answer = send(lab, "POST", f"{path}?{query}", BODIES[body])
                assert answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4")), (path, query, answer)
        assert proxy.request("/healthz/live")[0] == 200
        assert "Traceback" not in proxy.stderr()


def test_streams_that_are_left_leave_nothing(lab: Lab) -> None:
    with ProxyProcess(lab) as proxy:
        before = proxy.fds()
        for _ in range(5):
            for path, entry in ADMIN.items():
                if entry.read is not None:
                    send(lab, "GET", path)
        until(lambda: proxy.fds() <= before, f"descriptors to be closed, {proxy.fds()} are open, {before} were")
