"""Captured connections through the real proxy: where they arrive, what they carry, how they end."""

from __future__ import annotations

import errno
import socket
import threading
import time

import pytest

from proxy.core.addresses import Address
from tests.lab import Lab
from tests.lab.actor import Identity
from tests.netns.proxy.proxy_rig import (
    APP_V4,
    APP_V6,
    PEER_V4,
    PEER_V6,
    ProxyProcess,
    Server,
    dial,
    echo,
    read_all,
    rules,
    until,
)
from tests.netns.proxy.relay_rig import RESET, last, proxy, running

pytestmark = pytest.mark.kernel
__all__ = ["proxy", "running"]
PORT = 12345
BLACKHOLE = """
table inet blackhole {
  chain in { type filter hook input priority 0; tcp dport 2005 drop; }
  chain denied { type filter hook input priority 1; tcp dport 2006 reject with icmpx host-unreachable; }
}
"""


@pytest.mark.parametrize(("host", "shown", "app"), [(PEER_V4, PEER_V4, APP_V4), (PEER_V6, f"[{PEER_V6}]", APP_V6)])
def test_outbound_reaches_the_original_destination(
    lab: Lab, proxy: ProxyProcess, host: str, shown: str, app: str
) -> None:
    with Server(lab.peer, host, PORT, echo) as server, dial(lab.app, host, PORT) as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"hello"
        name = client.getsockname()
    line = last(proxy, f"{shown}:{PORT}")
    assert (line["direction"], line["upstream"], line["lane"]) == ("outbound", f"{shown}:{PORT}", "splice")
    assert (line["bytes_sent"], line["bytes_received"], line["close_reason"]) == (5, 5, "finished")
    assert line["downstream"] == str(Address(name[0], name[1]))
    # It was not the client itself who reached the server.
    assert server.peers[0][0] == app
    assert server.peers[0][1] != name[1]


def test_a_mapped_client_is_plain_ipv4(lab: Lab, proxy: ProxyProcess) -> None:
    with Server(lab.peer, PEER_V4, PORT + 1, echo), dial(lab.app, f"::ffff:{PEER_V4}", PORT + 1) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert last(proxy, f"{PEER_V4}:{PORT + 1}")["bytes_sent"] == 1


@pytest.mark.parametrize(("host", "shown"), [(APP_V4, APP_V4), (APP_V6, f"[{APP_V6}]")])
def test_inbound_reaches_the_workload(lab: Lab, proxy: ProxyProcess, host: str, shown: str) -> None:
    def answer(sock: socket.socket) -> None:
        sock.sendall(sock.recv(100) * 3)
        sock.shutdown(socket.SHUT_WR)

    with Server(lab.app, host, 8088, answer), dial(lab.peer, host, 8088) as client:
        client.sendall(b"ping")
        assert read_all(client) == b"ping" * 3
    line = last(proxy, f"{shown}:8088")
    assert (line["direction"], line["upstream"]) == ("inbound", f"{shown}:8088")
    assert (line["bytes_sent"], line["bytes_received"]) == (12, 4)


def test_a_server_that_speaks_first_is_heard(lab: Lab, proxy: ProxyProcess) -> None:
    with Server(lab.peer, PEER_V4, 2525, lambda sock: sock.sendall(b"220 ready\r\n")):  # noqa: SIM117
        with dial(lab.app, PEER_V4, 2525) as client:
            assert client.recv(100) == b"220 ready\r\n"


def test_half_close_is_kept_in_both_directions(lab: Lab, proxy: ProxyProcess) -> None:
    got = []

    def finish_first(sock: socket.socket) -> None:
        sock.sendall(b"bye")
        sock.shutdown(socket.SHUT_WR)
        got.append(read_all(sock))

    with Server(lab.peer, PEER_V4, 2001, finish_first), dial(lab.app, PEER_V4, 2001) as client:
        assert read_all(client) == b"bye"  # the server has finished, we have not
        time.sleep(0.1)
        client.sendall(b"late " * 1000)
        client.shutdown(socket.SHUT_WR)
        until(lambda: got == [b"late " * 1000], "what was sent after the server's end")
    assert last(proxy, f"{PEER_V4}:2001")["close_reason"] == "finished"


def test_many_bytes_arrive_unchanged_both_ways_at_once(lab: Lab, proxy: ProxyProcess) -> None:
    data = bytes(range(256)) * 64 * 1024  # 16 MiB
    with Server(lab.peer, PEER_V4, 2002, echo), dial(lab.app, PEER_V4, 2002, timeout=30) as client:
        sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        sender.start()
        found = bytearray()
        while part := client.recv(1 << 20):
            found += part
        sender.join()
    assert found == data
    line = last(proxy, f"{PEER_V4}:2002")
    assert line["bytes_sent"] == line["bytes_received"] == len(data)


def test_a_refusing_upstream_is_a_reset(lab: Lab, proxy: ProxyProcess) -> None:
    with pytest.raises(ConnectionResetError), dial(lab.app, PEER_V4, 2003) as client:
        assert client.recv(1)
    line = last(proxy, f"{PEER_V4}:2003")
    assert (line["close_reason"], line["bytes_sent"], line["bytes_received"]) == ("upstream-refused", 0, 0)


def test_an_unreachable_upstream_is_a_reset(lab: Lab, proxy: ProxyProcess) -> None:
    lab.app.run(["ip", "route", "add", "unreachable", "203.0.113.77/32"])
    try:
        # Captured before routing fails: the client's own route has to exist while it connects.
        with pytest.raises(OSError, match=r".") as failed, dial(lab.app, "203.0.113.77", 80) as client:
            assert client.recv(1)
        assert failed.value.errno in (errno.EHOSTUNREACH, errno.ECONNRESET)
        lab.peer.run(["ip", "route", "add", "unreachable", "192.0.2.99/32"])
        lab.peer.run(["ip", "route", "flush", "cache"])
        with pytest.raises(ConnectionResetError), dial(lab.app, "1.2.3.99", 1) as client:
            assert client.recv(1)
    finally:
        lab.app.run(["ip", "route", "del", "unreachable", "203.0.113.77/32"])
        lab.peer.run(["ip", "route", "del", "unreachable", "192.0.2.99/32"], check=False)


def test_a_silent_upstream_is_a_timeout_and_an_icmp_error_is_unreachable(lab: Lab, proxy: ProxyProcess) -> None:
    with rules(lab.peer, BLACKHOLE, "inet blackhole"):
        began = time.monotonic()
        with pytest.raises(ConnectionResetError), dial(lab.app, PEER_V4, 2005) as client:
            assert client.recv(1)
        assert 1.5 < time.monotonic() - began < 4
        with pytest.raises(ConnectionResetError), dial(lab.app, PEER_V4, 2006) as client:
            assert client.recv(1)
    assert last(proxy, f"{PEER_V4}:2005")["close_reason"] == "upstream-timeout"
    assert last(proxy, f"{PEER_V4}:2006")["close_reason"] == "upstream-unreachable"


def test_a_client_that_resets_while_we_connect_ends_the_attempt(lab: Lab) -> None:
    flags = (
        "--outbound-port",
        "15101",
        "--inbound-port",
        "15106",
        "--dns-port",
        "15153",
        "--admin",
        "off",
        "--telemetry",
        "off",
    )
    redirect = (
        "table inet other { chain out { type nat hook output priority -100; "
        "meta skuid 1337 return; tcp dport 2005 redirect to :15101; }; }"
    )
    with (
        ProxyProcess(lab, *flags, "--log-format", "json") as proxy,
        rules(lab.app, redirect, "inet other"),
        rules(lab.peer, BLACKHOLE, "inet blackhole"),
    ):
        client = dial(lab.app, PEER_V4, 2005)
        time.sleep(0.3)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        assert proxy.wait_logged(timeout=3)[0]["close_reason"] == "downstream-reset"


def test_a_reset_from_either_side_reaches_the_other(lab: Lab, proxy: ProxyProcess) -> None:
    def reset_after_reading(sock: socket.socket) -> None:
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()

    with Server(lab.peer, PEER_V4, 2007, reset_after_reading), dial(lab.app, PEER_V4, 2007) as client:
        client.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert last(proxy, f"{PEER_V4}:2007")["close_reason"] == "upstream-reset"

    seen: list[str] = []

    def wait_for_reset(sock: socket.socket) -> None:
        try:
            sock.sendall(b"x")
            sock.recv(1)
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")

    with Server(lab.peer, PEER_V4, 2008, wait_for_reset):
        client = dial(lab.app, PEER_V4, 2008)
        client.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        until(lambda: seen, "the server to notice")
    assert seen == ["reset"]
    assert last(proxy, f"{PEER_V4}:2008")["close_reason"] == "downstream-reset"


def test_the_workloads_uid_is_not_the_proxys(lab: Lab, proxy: ProxyProcess) -> None:
    """The rules of these tests do capture an ordinary user and do exempt the proxy's."""
    with Server(lab.peer, PEER_V4, 2012, lambda sock: sock.sendall(b'{"who": "peer"}\n')):
        logged = len(proxy.access_log())
        assert lab.actor().tcp(PEER_V4, 2012).who == "peer"
        proxy.wait_logged(logged + 1)
        assert lab.actor(Identity(1337, 1337)).tcp(PEER_V4, 2012).who == "peer"
        time.sleep(0.2)
        assert len(proxy.access_log()) == logged + 1
