"""TCP keepalive towards upstreams: the flag's, a policy's tcpKeepalive, and both lanes that the proxy has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.proxy.config_rig import ONE, VIP, file, proxy_with, says, web
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, dial, rules, until
from tests.unit.mesh.support import traffic_policy

__all__ = ["file"]
pytestmark = pytest.mark.kernel

POLICY = "connectionPool: {tcp: {tcpKeepalive: {time: 900s, interval: 7s, probes: 2}}}"
RATE = "connectionRateLimit: {connections: 50, interval: 1s, burst: 50}"


@pytest.fixture(scope="module", autouse=True)
def served(lab: Lab) -> Iterator[None]:
    with Server(lab.peer, PEER_V4, ONE, says(b"1")), rules(lab.app):
        yield


def timer(lab: Lab) -> float | None:
    """Of the proxy's connection to the endpoint: seconds to its first keepalive probe; None: it will send none."""
    shown = lab.app.run(["ss", "-Htnoe", "dst", f"{PEER_V4}:{ONE}"]).stdout
    ours = [line for line in shown.splitlines() if "uid:1337" in line]
    assert len(ours) == 1, shown
    found = re.search(r"timer:\(keepalive,(?:(\d+)min)?(?:([\d.]+)(sec|ms))?", ours[0])
    if found is None:
        return None
    return int(found[1] or 0) * 60 + float(found[2] or 0) / (1000 if found[3] == "ms" else 1)


def seconds_to_probe(lab: Lab, ip: str, port: int) -> float | None:
    with dial(lab.app, ip, port) as client:
        assert client.recv(1) == b"1"
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        client.sendall(b"y")  # a connection that goes on gets its options
        assert client.recv(1) == b"y"
        return timer(lab)


@pytest.mark.parametrize(("flags", "expected"), [((), 300), (("--tcp-keepalive", "77"), 77)])
def test_the_flag(lab: Lab, flags: tuple[str, ...], expected: int) -> None:
    with ProxyProcess(lab, *flags):
        left = seconds_to_probe(lab, PEER_V4, ONE)
        assert left is not None
        assert expected - 61 < left <= expected, "ss tells whole minutes"


def test_the_flag_says_none(lab: Lab) -> None:
    with ProxyProcess(lab, "--tcp-keepalive", "0"):
        assert seconds_to_probe(lab, PEER_V4, ONE) is None


@pytest.mark.parametrize("more", ["", f", {RATE}"], ids=["engine", "python"])
def test_a_policys(lab: Lab, file: Path, more: str) -> None:
    text = web(ONE, extra=traffic_policy("web", POLICY + more))
    with proxy_with(lab, file, text):
        left = until(lambda: seconds_to_probe(lab, VIP, 80), "a timer")
        assert 900 - 61 < left <= 900
