"""Connections that the proxy must not serve, and those that only look like them."""

from __future__ import annotations

import contextlib
import errno
import socket

import pytest

from proxy.core.decide.loops import MAX_HOPS
from tests.lab import Lab
from tests.netns.proxy.proxy_rig import (
    APP_V4,
    PEER_V4,
    ProxyProcess,
    Server,
    dial,
    echo,
    rules,
    until,
)
from tests.netns.proxy.relay_rig import last, proxy, running

pytestmark = pytest.mark.kernel
__all__ = ["proxy", "running"]
PORT = 12345


@pytest.mark.parametrize(("host", "port"), [(APP_V4, 15001), ("127.0.0.1", 15001), ("::1", 15001), (APP_V4, 15006)])
def test_dialling_a_listener_is_reset_and_counted(lab: Lab, proxy: ProxyProcess, host: str, port: int) -> None:
    direction = "outbound" if port == 15001 else "inbound"
    labels = {"direction": direction, "reason": "direct-dial"}
    before = proxy.metric("tidegate_refused_total", **labels)
    logged = len(proxy.access_log())
    with pytest.raises(ConnectionResetError), dial(lab.app, host, port) as client:
        assert client.recv(1)
    until(lambda: proxy.metric("tidegate_refused_total", **labels) == before + 1, "the count")
    assert len(proxy.access_log()) == logged
    until(lambda: "direct-dial" in proxy.stderr(), "the log's line")


def test_the_listeners_port_on_another_host_is_an_ordinary_port(lab: Lab, proxy: ProxyProcess) -> None:
    assert lab.actor().tcp("10.0.1.1", 15001).who == "peer"
    assert last(proxy, "10.0.1.1:15001")["direction"] == "outbound"


def test_without_conntrack_there_is_no_original_destination_and_no_guess(lab: Lab) -> None:
    flags = (
        "--outbound-port",
        "15101",
        "--inbound-port",
        "15106",
        "--dns-port",
        "15153",
        "--admin",
        "127.0.0.1:15100",
        "--telemetry",
        "off",
    )
    untracked = (
        "table inet untracked { chain out { type filter hook output priority -300; tcp dport 15101 notrack;"
        " tcp sport 15101 notrack; }; }"
    )
    with ProxyProcess(lab, *flags) as proxy, rules(lab.app, untracked, "inet untracked"):
        with pytest.raises(ConnectionResetError), dial(lab.app, "127.0.0.1", 15101) as client:
            assert client.recv(1)
        until(lambda: "missing-original-destination" in proxy.stderr(), "the refusal in the log")
        status, text = proxy.request("/metrics", port=15100)
        assert status == 200
        wanted = 'tidegate_refused_total{direction="outbound",reason="missing-original-destination"} 1.0'
        assert wanted in text


def test_our_own_traffic_captured_again_is_refused_as_a_loop(lab: Lab) -> None:
    """Rules that do not exempt the proxy: it runs as uid 4242, they exempt 1337."""
    flags = (
        "--outbound-port",
        "15101",
        "--inbound-port",
        "15106",
        "--dns-port",
        "15153",
        "--admin",
        "127.0.0.1:15100",
        "--telemetry",
        "off",
    )
    redirect = (
        "table inet looping { chain out { type nat hook output priority -100; "
        "meta skuid 1337 return; tcp dport 2011 redirect to :15101; }; }"
    )
    with (
        ProxyProcess(lab, *flags, "--proxy-uid", "4242", "--log-format", "json") as proxy,
        rules(lab.app, redirect, "inet looping"),
        Server(lab.peer, PEER_V4, 2011, echo) as server,
    ):
        with pytest.raises(ConnectionResetError), dial(lab.app, PEER_V4, 2011) as client:
            assert client.recv(1)
        until(lambda: "(loop)" in proxy.stderr(), "the loop in the log")
        assert server.peers == []
        # The next ones looked like the first's own, and were let through: behind REDIRECT looks deceive.
        assert len(proxy.wait_logged(MAX_HOPS + 1)) == MAX_HOPS + 1


def test_clients_that_are_shown_with_a_port_of_our_own_are_served(lab: Lab, proxy: ProxyProcess) -> None:
    """Behind REDIRECT, a client whose source port is taken at the listener is shown with another one. It can be that
    of an upstream connection of ours to the same destination (here some seven times), and is then no loop."""
    refused = proxy.metric("tidegate_refused_total", direction="outbound", reason="loop")
    destinations = range(2040, 2048)
    kept: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(lab.peer, PEER_V4, port, echo)) for port in destinations]
        try:
            for source in range(20_000, 20_250):
                for port in destinations:
                    client = dial(lab.app, PEER_V4, port, source=(APP_V4, source))
                    kept.append(client)
                    client.sendall(b"x")
                    assert client.recv(1) == b"x", (source, port)
        finally:
            for client in kept:
                client.close()
        assert sum(len(server.peers) for server in servers) == len(kept)
    assert proxy.metric("tidegate_refused_total", direction="outbound", reason="loop") == refused


def test_a_stale_redirection_in_conntrack_is_got_round(lab: Lab) -> None:
    """Entries of captured connections that we reset live on for ten seconds and redirect whoever gets their port, be it
    the proxy itself. Every port that the kernel likes best has such an entry here."""
    flags = ("--outbound-port", "15101", "--inbound-port", "15106", "--dns-port", "15153", "--telemetry", "off")
    redirect = (
        "table inet stale { chain out { type nat hook output priority -100; "
        "meta skuid 1337 return; tcp dport 2030 redirect to :15101; }; }"
    )
    before = lab.app.sysctl("net/ipv4/ip_local_port_range")
    try:
        lab.app.sysctl("net/ipv4/ip_local_port_range", "40000 40063")
        with (
            ProxyProcess(lab, *flags, "--admin", "127.0.0.1:15100") as proxy,
            rules(lab.app, redirect, "inet stale"),
        ):
            for port in range(40000, 40064, 2):
                # A port that the proxy has a connection from itself can't be bound, and is none that it could be given.
                with (
                    pytest.raises(OSError, match=f"Errno ({errno.ECONNRESET}|{errno.EADDRINUSE})"),
                    dial(lab.app, PEER_V4, 2030, source=(APP_V4, port)) as client,
                ):
                    assert client.recv(1)
            assert lab.app.run(["conntrack", "-L", "-p", "tcp", "--dport", "2030"]).stdout.count("CLOSE") >= 8
            with Server(lab.peer, PEER_V4, 2030, echo) as server:
                for number in range(20):
                    with dial(lab.app, PEER_V4, 2030, source=(APP_V4, 25000 + number)) as client:
                        client.sendall(b"x")
                        assert client.recv(1) == b"x", number
                assert len(server.peers) == 20
            text = proxy.request("/metrics", port=15100)[1]
            times = [line.split()[1] for line in text.splitlines() if line.startswith("tidegate_upstream_recaptured_t")]
            assert [float(n) > 0 for n in times] == [True], "no stale entry was met: this test has not tested anything"
            assert 'reason="loop"' not in text
    finally:
        lab.app.sysctl("net/ipv4/ip_local_port_range", before)
