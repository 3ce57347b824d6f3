"""What the documents forbid or limit, and what leads nowhere, is reset with its reason."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.netns.proxy.config_rig import DEAD, ONE, VIP, ask, backends, dump, file, in_force, proxy_with, web, write
from tests.netns.proxy.proxy_rig import PEER_V4, dial, until
from tests.unit.mesh.support import tcp_route, traffic_policy

__all__ = ["backends", "file"]
pytestmark = pytest.mark.kernel


def keep_talking(client: socket.socket, seconds: float) -> None:
    """Never idle. Raises what ends the connection."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        client.sendall(b"x")
        assert client.recv(1)
        time.sleep(0.05)


@pytest.mark.usefixtures("backends")
def test_nobody_to_go_to_is_a_reset_with_its_reason(lab: Lab, file: Path) -> None:
    reasons = {
        "no-endpoints": web(ONE).replace(f"{{addresses: ['{PEER_V4}']}}", ""),
        "unresolved-backend": web(ONE, extra=tcp_route("web", ("gone", 1))),
        "upstream-refused": web(DEAD),
        "denied-source": web(ONE, extra=traffic_policy("web", "deniedSources: [10.0.0.0/24]")),
    }
    with proxy_with(lab, file, "") as proxy:
        digest = dump(proxy)["digest"]
        for number, (reason, text) in enumerate(reasons.items(), 1):
            write(file, text)
            digest = in_force(proxy, digest)
            assert ask(lab) == b"", reason
            line = proxy.wait_logged(number)[-1]
            assert line["close_reason"] == reason
            assert (line["upstream"] == "-") is (reason != "upstream-refused")
        assert json.loads(proxy.request("/connections")[1]) == []


@pytest.mark.usefixtures("backends")
def test_limits_of_connections_and_rates(lab: Lab, file: Path) -> None:
    limit = traffic_policy("web", "connectionPool: {tcp: {maxConnections: 2}}")
    with proxy_with(lab, file, web(ONE, extra=limit)) as proxy:
        with dial(lab.app, VIP, 80) as first, dial(lab.app, VIP, 80) as second:
            assert first.recv(1) == second.recv(1) == b"1"
            assert ask(lab) == b""
        assert until(lambda: ask(lab) == b"1", "a place to come free")
        assert {line["close_reason"] for line in proxy.wait_logged(4)} == {"finished", "max-connections"}
        digest = dump(proxy)["digest"]
        rate = traffic_policy("web", "connectionRateLimit: {connections: 1, interval: 1h, burst: 3}")
        write(file, web(ONE, extra=rate))
        in_force(proxy, digest)
        assert [ask(lab) for _ in range(5)] == [b"1"] * 3 + [b""] * 2


@pytest.mark.usefixtures("backends")
def test_timeouts_of_a_destination(lab: Lab, file: Path) -> None:
    lab.peer.run(
        ["nft", "-f", "-"],
        stdin=f"table inet hole {{ chain in {{ type filter hook input priority 0; tcp dport {DEAD} drop; }}; }}",
    )
    try:
        times = traffic_policy("web", "connectionPool: {tcp: {connectTimeout: 500ms, idleTimeout: 700ms}}")
        with proxy_with(lab, file, web(DEAD, extra=times)) as proxy:
            began = time.monotonic()
            assert ask(lab) == b""
            assert 0.4 < time.monotonic() - began < 3
            digest = dump(proxy)["digest"]
            write(file, web(ONE, extra=times))
            digest = in_force(proxy, digest)
            with dial(lab.app, VIP, 80) as client:
                assert client.recv(1) == b"1"
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            write(file, web(ONE, extra=times.replace("idleTimeout", "maxConnectionDuration")))
            in_force(proxy, digest)
            with dial(lab.app, VIP, 80) as client, pytest.raises((ConnectionResetError, BrokenPipeError)):
                keep_talking(client, 10)
            assert [line["close_reason"] for line in proxy.wait_logged(3)] == [
                "upstream-timeout", "idle-timeout", "lifetime"
            ]  # fmt: skip
    finally:
        lab.peer.run(["nft", "delete", "table", "inet", "hole"])
