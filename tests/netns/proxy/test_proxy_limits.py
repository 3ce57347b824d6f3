"""Limits, load and telemetry of the real proxy: nothing leaks, nothing stalls, nothing is counted twice."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, dial, echo, read_all, rules, until

pytestmark = pytest.mark.kernel
PORT = 12347


@pytest.fixture(scope="module", autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    with rules(lab.app):
        yield


def exchange(sock: socket.socket, data: bytes = b"x") -> bytes:
    sock.sendall(data)
    return sock.recv(len(data))


def test_at_the_limit_new_connections_wait_in_the_backlog(lab: Lab) -> None:
    with (
        Server(lab.peer, PEER_V4, PORT, echo) as server,
        ProxyProcess(lab, "--max-connections", "3") as proxy,
        contextlib.ExitStack() as undo,
    ):
        held = [undo.enter_context(dial(lab.app, PEER_V4, PORT)) for _ in range(3)]
        assert [exchange(one) for one in held] == [b"x"] * 3
        waiting = undo.enter_context(dial(lab.app, PEER_V4, PORT, timeout=0.5))
        waiting.sendall(b"y")
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        assert len(server.peers) == 3
        assert proxy.metric("tidegate_listener_pauses_total", reason="max-connections") == 1
        assert proxy.metric("tidegate_connections_active") == proxy.metric("tidegate_connections_limit") == 3
        held[0].close()
        waiting.settimeout(5)
        assert waiting.recv(1) == b"y"


def test_out_of_descriptors_accepting_pauses_and_goes_on(lab: Lab) -> None:
    """More connections than descriptors: those that fit are served, the others are as soon as there is room."""
    few = ("prlimit", "--nofile=80:80")
    with (
        Server(lab.peer, PEER_V4, PORT, echo),
        ProxyProcess(lab, "--max-connections", "1000", prefix=few) as proxy,
        contextlib.ExitStack() as undo,
    ):
        clients = [undo.enter_context(dial(lab.app, PEER_V4, PORT)) for _ in range(60)]
        for one in clients:
            one.sendall(b"x")
        clients[0].settimeout(5)
        assert clients[0].recv(1) == b"x"
        time.sleep(0.5)
        cpu = proxy.cpu_seconds()
        time.sleep(1)
        assert proxy.cpu_seconds() - cpu < 0.3, "it spins while it has no descriptors"
        for one in clients:  # each that ends makes room for another
            one.settimeout(10)
            assert (one.recv(1) if one is not clients[0] else b"x") == b"x"
            one.close()
        undo.pop_all()
        until(lambda: proxy.metric("tidegate_connections_active") == 0, "all to end")
        assert proxy.metric("tidegate_listener_pauses_total", reason="resources") >= 1


def test_an_idle_connection_ends_and_a_busy_one_does_not(lab: Lab) -> None:
    with (
        Server(lab.peer, PEER_V4, PORT, echo),
        ProxyProcess(lab, "--idle-timeout", "1", "--log-format", "json") as proxy,
        dial(lab.app, PEER_V4, PORT) as idle,
        dial(lab.app, PEER_V4, PORT) as busy,
    ):
        exchange(idle)
        for _ in range(8):
            assert exchange(busy) == b"x"
            time.sleep(0.3)
        assert proxy.wait_logged()[0]["close_reason"] == "idle-timeout"
        assert exchange(busy) == b"x"


def test_byte_counters_are_live_monotone_and_never_double(lab: Lab) -> None:
    with Server(lab.peer, PEER_V4, PORT, echo), ProxyProcess(lab) as proxy:

        def received() -> float:
            return proxy.metric("istio_tcp_received_bytes_total", reporter="source")

        seen = [received()]
        for _ in range(3):
            with dial(lab.app, PEER_V4, PORT) as client:
                for _ in range(3):
                    exchange(client, b"z" * 1000)
                    until(lambda: received() >= seen[-1] + 1000, "live bytes")
                    seen.append(received())
                client.shutdown(socket.SHUT_WR)
                read_all(client)
        until(lambda: proxy.metric("istio_tcp_connections_closed_total") == 3, "the ends")
        assert seen == [1000.0 * n for n in range(10)]
        assert received() == proxy.metric("istio_tcp_sent_bytes_total", reporter="source") == 9000
        opened = proxy.metric("istio_tcp_connections_opened_total", destination_service_name="PassthroughCluster")
        assert opened == proxy.metric("tidegate_lane_connections_total", lane="splice", direction="outbound") == 3


@pytest.mark.alone  # side by side with others one connection more is counted; whose it is, is not known yet
def test_a_stdout_that_nobody_reads_stops_nothing(lab: Lab) -> None:
    """One pipe and far more lines than it holds: connections go on, and so does the end."""
    read_end, write_end = os.pipe()
    try:
        with Server(lab.peer, PEER_V4, PORT, lambda sock: sock.sendall(b"x"), inline=True) as server:
            to_pipe = ("bash", "-c", f'exec "$@" >&{write_end}', "bash")
            with ProxyProcess(lab, prefix=to_pipe, pass_fds=(write_end,)) as proxy:
                for _ in range(2000):
                    with dial(lab.app, PEER_V4, PORT) as client:
                        assert read_all(client) == b"x"
                # By how they ended: a stray caller of a test before, whose server has gone, is no one of these.
                with contextlib.suppress(AssertionError):
                    until(lambda: finished(proxy) >= 2000, "2,000 connections to be counted")
                assert finished(proxy) == 2000, f"{len(server.peers)} came to the server; counted: {_counted(proxy)}"
                proxy.process.terminate()
                assert proxy.process.wait(5) == 0
    finally:
        os.close(read_end)
        os.close(write_end)


def finished(proxy: ProxyProcess) -> float:
    return proxy.metric("istio_tcp_connections_closed_total", response_flags="-")


def _counted(proxy: ProxyProcess) -> dict[str, float]:
    return {name: value for name, value in proxy.metrics().items() if "istio_tcp_connections" in name}


def test_a_thousand_idle_connections_cost_little_memory(lab: Lab) -> None:
    with (
        Server(lab.peer, PEER_V4, PORT, echo),
        ProxyProcess(lab) as proxy,
        contextlib.ExitStack() as undo,
    ):
        for _ in range(50):  # what the first connections allocate is not theirs alone
            with dial(lab.app, PEER_V4, PORT) as client:
                exchange(client)
        idle = int(proxy.status("VmRSS").split()[0])
        for _ in range(1000):
            assert exchange(undo.enter_context(dial(lab.app, PEER_V4, PORT))) == b"x"
        until(lambda: proxy.metric("tidegate_connections_active") == 1000, "a thousand")
        grown = int(proxy.status("VmRSS").split()[0]) - idle
        print(f"1,000 idle connections: {grown} kB more than {idle} kB")
        assert idle <= 40 * 1024
        assert grown <= 25 * 1024


CLIENT = """
import socket, sys
host, ports, count = sys.argv[1], 16, int(sys.argv[2])
for number in range(count):
    sock = socket.create_connection((host, 13000 + number % ports), timeout=10)
    sock.sendall(b"%d" % number)
    got = b""
    while part := sock.recv(100):
        got += part
    assert got == b"%d" % number, (number, got)
    sock.close()
"""


def serve_short(lab: Lab, stop: threading.Event) -> None:
    """Answers with what it got and finishes first, so that no port of the proxy's waits in TIME_WAIT."""
    import selectors

    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as undo:
        for port in range(13000, 13016):
            with lab.peer.entered():
                listener = undo.enter_context(socket.create_server((PEER_V4, port), backlog=1024))
            selector.register(listener, selectors.EVENT_READ)
        while not stop.is_set():
            for key, _ in selector.select(0.2):
                assert isinstance(key.fileobj, socket.socket)
                sock, _ = key.fileobj.accept()
                with sock:
                    sock.settimeout(10)
                    sock.sendall(sock.recv(100))


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_twenty_thousand_short_connections_leave_nothing(lab: Lab) -> None:
    stop = threading.Event()
    server = threading.Thread(target=serve_short, args=(lab, stop))
    server.start()
    try:
        with ProxyProcess(lab) as proxy:
            lab.app.run([sys.executable, "-c", CLIENT, PEER_V4, "1000"], timeout=60)
            until(lambda: proxy.metric("tidegate_connections_active") == 0, "the first to end")
            fds, threads = proxy.fds(), proxy.status("Threads")
            memory = int(proxy.status("VmRSS").split()[0])
            began = time.monotonic()
            lab.app.run([sys.executable, "-c", CLIENT, PEER_V4, "20000"], timeout=150)
            print(f"20,000 short connections: {20000 / (time.monotonic() - began):.0f}/s, one after the other")
            until(lambda: proxy.metric("tidegate_connections_active") == 0, "all to end")
            until(lambda: proxy.fds() <= fds, f"{fds} descriptors, there are {proxy.fds()}")
            assert proxy.status("Threads") == threads
            assert int(proxy.status("VmRSS").split()[0]) - memory < 4096
            assert proxy.metric("istio_tcp_connections_closed_total", response_flags="-") == 21000
            assert proxy.metric("tidegate_refused_total") == 0
    finally:
        stop.set()
        server.join()


def test_a_stopped_upstream_holds_back_the_client(lab: Lab) -> None:
    """Back-pressure: what the server does not read, the proxy does not take in without bound."""
    release = threading.Event()
    got = []

    def slow(sock: socket.socket) -> None:
        release.wait(20)
        got.append(len(read_all(sock)))

    with Server(lab.peer, PEER_V4, PORT, slow), ProxyProcess(lab) as proxy:
        with dial(lab.app, PEER_V4, PORT) as client:
            client.settimeout(1)
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 512 << 20:
                    sent += client.send(b"q" * 65536)
            assert sent < 64 << 20
            cpu = proxy.cpu_seconds()
            time.sleep(0.5)
            assert proxy.cpu_seconds() - cpu < 0.2, "it spins on a full socket"
            assert int(proxy.status("VmRSS").split()[0]) < 60 * 1024
            release.set()
            client.shutdown(socket.SHUT_WR)
            until(lambda: got, "the server to read it all", 20)
        assert got == [sent]
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(5) == 0
