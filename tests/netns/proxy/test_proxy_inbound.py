"""Inbound without NAT, and the hairpin: the ways in which an original destination is not in conntrack's hands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import APP_V4, APP_V6, PEER_V4, PEER_V6, ProxyProcess, Server, dial, echo, rules, until

pytestmark = pytest.mark.kernel

TPROXY = """
table inet by_tproxy {
  chain divert {
    type filter hook prerouting priority -150
    iifname lo return
    meta l4proto tcp socket transparent 1 meta mark set 1337 accept
    tcp dport { 8088, 15006 } meta nfproto ipv4 meta mark set 1337 tproxy ip to :15006 accept
    tcp dport { 8088, 15006 } meta nfproto ipv6 meta mark set 1337 tproxy ip6 to :15006 accept
  }
}
"""


@pytest.fixture
def tproxied(lab: Lab) -> Iterator[None]:
    with contextlib.ExitStack() as undo:
        for family in ("-4", "-6"):
            for kind, what in (("rule", "fwmark 1337 lookup 133"), ("route", "local default dev lo table 133")):
                lab.app.run(["ip", family, kind, "add", *what.split()])
                undo.callback(lab.app.run, ["ip", family, kind, "del", *what.split()])
        with rules(lab.app, TPROXY, "inet by_tproxy"):
            yield


@pytest.mark.usefixtures("tproxied")
@pytest.mark.parametrize(("method", "first_port"), [("auto", 40000), ("sockname", 41000)])
def test_tproxy_keeps_source_and_destination(lab: Lab, method: str, first_port: int) -> None:
    with ProxyProcess(lab, "--log-format", "json", "--inbound-original-dst", method) as proxy:
        for number, (app, peer) in enumerate(((APP_V4, PEER_V4), (APP_V6, PEER_V6)), start=1):
            with (
                Server(lab.app, app, 8088, echo),
                dial(lab.peer, app, 8088, source=(peer, first_port + number)) as client,
            ):
                client.sendall(b"x")
                assert client.recv(1) == b"x"
            line = proxy.wait_logged(number)[-1]
            shown_app, shown_peer = (f"[{ip}]" if ":" in ip else ip for ip in (app, peer))
            assert line["original_destination"] == f"{shown_app}:8088"
            assert line["downstream"] == f"{shown_peer}:{first_port + number}"
            assert line["direction"] == "inbound"


@pytest.mark.usefixtures("tproxied")
@pytest.mark.parametrize("method", ["auto", "sockname"])
def test_a_direct_dial_is_not_taken_for_a_transparent_connection(lab: Lab, method: str) -> None:
    """Without NAT nothing tracks connections here, so that a direct dial shows as a missing original destination, but
    where the socket's own address is all that is asked for."""
    with ProxyProcess(lab, "--inbound-original-dst", method) as proxy:
        for host in (APP_V4, APP_V6):
            with pytest.raises(ConnectionResetError), dial(lab.peer, host, 15006) as client:
                assert client.recv(1)
        until(lambda: proxy.metric("tidegate_refused_total", direction="inbound") == 2, "two refusals")
        shown = "direct-dial" if method == "sockname" else "missing-original-destination"
        until(lambda: shown in proxy.stderr(), "both in the log")


HAIRPIN = """
table inet hairpin {
  chain out {
    type nat hook output priority -100
    ip saddr 127.0.0.6 return
    ip daddr 10.0.0.2 meta skuid 1337 tcp dport != { 15001, 15006 } redirect to :15006
    meta skuid 1337 return
    tcp dport 8088 redirect to :15001
  }
}
"""


def test_the_hairpin_passes_both_listeners_once_and_the_app_sees_the_passthrough_source(lab: Lab) -> None:
    with (
        rules(lab.app, HAIRPIN, "inet hairpin"),
        Server(lab.app, APP_V4, 8088, echo) as server,
        ProxyProcess(lab, "--log-format", "json", "--inbound-source", "127.0.0.6,::6") as proxy,
    ):
        with dial(lab.app, APP_V4, 8088) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        lines = proxy.wait_logged(2)
        assert sorted(line["direction"] for line in lines) == ["inbound", "outbound"]
        assert [peer[0] for peer in server.peers] == ["127.0.0.6"]
        assert proxy.metric("tidegate_refused_total") == 0


def test_a_hairpin_without_the_passthrough_source_is_a_loop_that_ends(lab: Lab) -> None:
    with (
        rules(lab.app, HAIRPIN, "inet hairpin"),
        Server(lab.app, APP_V4, 8088, echo) as server,
        ProxyProcess(lab) as proxy,
    ):
        with pytest.raises(ConnectionResetError), dial(lab.app, APP_V4, 8088) as client:
            assert client.recv(1)
        assert server.peers == []
        assert proxy.metric("tidegate_refused_total", reason="loop", direction="inbound") == 1


def test_both_sides_of_a_relay_are_kept_alive(lab: Lab) -> None:
    """As the kernel sees both sides of a relay: ss shows the keepalive timer."""
    redirect = (
        "table inet simple { chain out { type nat hook output priority -100; "
        "meta skuid 1337 return; tcp dport 8099 redirect to :15001; }; }"
    )
    with (
        rules(lab.app, redirect, "inet simple"),
        Server(lab.peer, PEER_V4, 8099, echo),
        ProxyProcess(lab),
        dial(lab.app, PEER_V4, 8099) as client,
    ):
        client.sendall(b"x")
        assert client.recv(1) == b"x"

        def kept_alive() -> bool:
            shown = lab.app.run(["ss", "-Htno", "state", "established"]).stdout.splitlines()
            ours = [line for line in shown if ":15001 " in line or (":8099 " in line and "keepalive" in line)]
            return len(ours) == 2 and all("timer:(keepalive," in line for line in ours)

        until(kept_alive, "keepalive timers on both sides")
