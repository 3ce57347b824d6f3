"""Clients and servers that mean harm or are broken, through the whole proxy: memory and time stay bounded, others are
served meanwhile, and the log names what happened."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.netns.parsed.routes_rig import VIP, http_service
from tests.netns.proxy.config_rig import proxy_with
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, dial, read_all, rules, until

pytestmark = [pytest.mark.kernel, pytest.mark.takes(6)]
PORT = 8121
MANY = 100
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
EACH_KB = 3 * 64 + 32
"""What a connection may cost while it is stuck: a buffer each way, one to spare, and its state."""
LOGGED_KB = 8 * 1024
"""What some ten thousand requests at once may leave in rings, recent requests and the log."""


@pytest.fixture(scope="module", autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    with rules(lab.app):
        yield


def endless(sock: socket.socket) -> None:
    """Answers one request by a body without an end; another path by two bytes."""
    while request := sock.recv(65536):
        if b"/endless" in request:
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                sock.sendall(b"8000\r\n" + b"e" * 0x8000 + b"\r\n")
        elif b"/hints" in request:
            while True:
                sock.sendall(b"HTTP/1.1 103 Early Hints\r\nX: " + b"h" * 30_000 + b"\r\n\r\n")
        elif b"/head" in request:
            sock.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                sock.sendall(b"X: " + b"h" * 1000 + b"\r\n")
        else:
            sock.sendall(OK)


@contextlib.contextmanager
def served(
    lab: Lab, file: Path, talk: Callable[[socket.socket], None], *flags: str
) -> Iterator[tuple[ProxyProcess, Callable[[], socket.socket]]]:
    text = http_service("web", PORT, ip=VIP)
    with Server(lab.peer, PEER_V4, PORT, talk), proxy_with(lab, file, text, *flags) as proxy:

        def new() -> socket.socket:
            return dial(lab.app, VIP, 80, timeout=20)

        with new() as client:  # what the first request allocates is not the others'
            client.sendall(GET)
            assert client.recv(1000) == OK
        yield proxy, new


def resident_kb(proxy: ProxyProcess) -> int:
    return int(proxy.status("VmRSS").split()[0])


def requests(proxy: ProxyProcess, path: str) -> list[dict[str, Any]]:
    return [line for line in proxy.access_log() if line.get("path") == path]


@pytest.mark.parametrize("path", ["/endless", "/hints"])
def test_clients_that_never_read_cost_a_bounded_amount(lab: Lab, file: Path, path: str) -> None:
    with served(lab, file, endless) as (proxy, new), contextlib.ExitStack() as stack:
        before = resident_kb(proxy)
        for _ in range(MANY):
            client = stack.enter_context(new())
            client.sendall(GET.replace(b"/ ", path.encode() + b" "))
        time.sleep(2)
        cpu = proxy.cpu_seconds()
        time.sleep(1)
        assert proxy.cpu_seconds() - cpu < 0.5, "it spins on clients that do not read"
        assert resident_kb(proxy) - before < MANY * EACH_KB
        with new() as other:
            other.sendall(GET)
            assert other.recv(1000) == OK


def test_clients_that_never_read_their_answers_to_a_flood_cost_a_bounded_amount(lab: Lab, file: Path) -> None:
    """Requests without end on one connection, whose answers nobody takes."""
    with served(lab, file, endless) as (proxy, new), contextlib.ExitStack() as stack:
        before = resident_kb(proxy)
        sent = 0
        for _ in range(20):
            client = stack.enter_context(new())
            client.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                while sent < 1 << 30:
                    sent += client.send(GET * 2000)
        assert sent < 1 << 30
        assert resident_kb(proxy) - before < 20 * EACH_KB + LOGGED_KB
        with new() as other:
            other.sendall(GET)
            assert other.recv(1000) == OK


def test_slow_heads_cost_a_bounded_amount_and_hold_nobody_up(lab: Lab, file: Path) -> None:
    with served(lab, file, endless, "--idle-timeout", "3") as (proxy, new), contextlib.ExitStack() as stack:
        before = resident_kb(proxy)
        clients = [stack.enter_context(new()) for _ in range(3 * MANY)]
        for at in range(0, 20, 2):
            for client in clients:
                client.sendall((b"GET /slow HTTP/1.1\r\nHost: slow\r\n")[at : at + 2])
        assert resident_kb(proxy) - before < 3 * MANY * 40
        with new() as other:
            other.sendall(GET)
            assert other.recv(1000) == OK
        for client in clients:
            assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
        until(lambda: sum(line.get("status") == 408 for line in proxy.access_log()) == len(clients), "their lines")
        assert {line["flags"] for line in proxy.access_log() if line.get("status") == 408} == {"SI"}


def test_an_endless_head_of_a_server_is_502(lab: Lab, file: Path) -> None:
    with served(lab, file, endless) as (proxy, new):
        before = resident_kb(proxy)
        for _ in range(10):
            with new() as client:
                client.sendall(GET.replace(b"/ ", b"/head "))
                assert client.recv(1000).startswith(b"HTTP/1.1 502 ")
        until(lambda: len(requests(proxy, "/head")) == 10, "their lines")
        assert {(line["status"], line["flags"]) for line in requests(proxy, "/head")} == {(502, "UPE")}
        assert resident_kb(proxy) - before < 10 * EACH_KB


def test_a_server_that_never_answers_is_504_when_time_is_up(lab: Lab, file: Path) -> None:
    gone = threading.Event()

    def silent(sock: socket.socket) -> None:
        while request := sock.recv(65536):
            if b"/silent" in request:
                gone.wait(20)
            else:
                sock.sendall(OK)

    with served(lab, file, silent, "--idle-timeout", "2") as (proxy, new), new() as client:
        client.sendall(GET.replace(b"/ ", b"/silent "))
        assert client.recv(1000).startswith(b"HTTP/1.1 504 ")
        gone.set()
        (line,) = until(lambda: requests(proxy, "/silent"), "its line")
        assert (line["status"], line["flags"]) == (504, "UT")


def test_a_client_that_leaves_takes_its_endless_answer_with_it(lab: Lab, file: Path) -> None:
    ends: list[str] = []

    def told(sock: socket.socket) -> None:
        try:
            endless(sock)
        except OSError:
            ends.append("reset")
            raise

    with served(lab, file, told) as (proxy, new):
        with new() as client:
            client.sendall(GET.replace(b"/ ", b"/endless "))
            client.recv(100_000)
        until(lambda: ends == ["reset"], "the server to be told")
        (line,) = until(lambda: requests(proxy, "/endless"), "its line")
        assert line["flags"] == "DC"
        with new() as other:
            other.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert read_all(other) == OK
