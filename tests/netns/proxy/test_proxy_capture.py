"""The proxy beside its capture: what readiness, /listeners and /clusters say of it, and when they don't cry wolf."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.beside import COMPANION, the_one
from tests.lab.patience import patient
from tests.netns.proxy.config_rig import ONE, VIP, file, web, write
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, dial, until

pytestmark = pytest.mark.kernel
__all__ = ["file"]
NETFILTER = ("nftables", "iptables", "tproxy")


@pytest.fixture
def cleaned(lab: Lab) -> Iterator[None]:
    yield
    lab.tidegate("cleanup").ok()


@contextlib.contextmanager
def keepers_stopped(lab: Lab) -> Iterator[None]:
    """The sign of life is then the companion's alone, whoever would have been first otherwise."""
    keepers = [pid for pid in lab.app.processes() if "keeper" in Path(f"/proc/{pid}/comm").read_text()]
    for pid in keepers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in keepers:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.usefixtures("cleaned")
@pytest.mark.parametrize("mode", [*NETFILTER, "ebpf"])
def test_a_start_and_a_drain_are_no_broken_capture(lab: Lab, mode: str) -> None:
    """With `--when-down open` new connections go direct until the proxy lives, and while it drains nobody listens."""
    lab.tidegate("init", "--mode", mode, "--when-down", "open").ok()
    with keepers_stopped(lab), ProxyProcess(lab) as proxy:
        time.sleep(patient(2.5))
        assert proxy.request("/healthz/ready") == (200, "serving\n")
        with Server(lab.peer, PEER_V4, 12349, lambda sock: sock.recv(1)), dial(lab.app, PEER_V4, 12349):
            proxy.request("/drain", "POST")
            time.sleep(patient(5))
            assert proxy.request("/healthz/ready") == (503, "draining\n")
        assert "capture" not in proxy.stderr()


def test_a_companion_that_ended_is_noticed(lab: Lab) -> None:
    with ProxyProcess(lab) as proxy:
        until(lambda: proxy.request("/healthz/ready")[0] == 200, "readiness")
        os.kill(the_one(proxy.pid, COMPANION), signal.SIGKILL)
        until(lambda: proxy.request("/healthz/ready")[0] == 503, "unreadiness")
        assert "companion" in proxy.request("/healthz/ready")[1]
        assert "the companion that looks after capture has ended" in proxy.stderr()
        proxy.process.terminate()
        assert proxy.process.wait(5) == 0


@pytest.mark.usefixtures("cleaned")
@pytest.mark.parametrize("mode", NETFILTER)
def test_listeners_are_transparent_where_they_are(lab: Lab, mode: str) -> None:
    lab.tidegate("init", "--mode", mode).ok()
    with ProxyProcess(lab) as proxy:
        until(lambda: "transparent" in proxy.request("/listeners")[1], "listeners")

        def transparent() -> list[bool]:
            return [one["transparent"] for one in json.loads(proxy.request("/listeners")[1])]

        wanted = [False, mode == "tproxy", False]
        until(lambda: transparent() == wanted, f"{wanted}, there is {transparent()}")


@pytest.mark.usefixtures("cleaned")
def test_clusters_count_the_direct_lanes_connections(lab: Lab, file: Path) -> None:
    lab.tidegate("init", "--mode", "ebpf").ok()
    write(file, web(ONE))

    def kept(sock) -> None:  # type: ignore[no-untyped-def]
        sock.recv(1)

    with Server(lab.peer, PEER_V4, ONE, kept), ProxyProcess(lab, "--config", str(file)) as proxy:
        until(lambda: proxy.request("/healthz/ready")[0] == 200, "readiness")

        def cluster() -> tuple[int, list[tuple[int, int]]]:
            found = [one for one in json.loads(proxy.request("/clusters")[1]) if one["type"] == "service"]
            counts = [(each["connections_active"], each["connections_total"]) for each in found[0]["endpoints"]]
            return found[0]["connections_active"], counts

        with dial(lab.app, VIP, 80), dial(lab.app, VIP, 80):
            until(lambda: cluster() == (2, [(2, 2)]), "two open connections in /clusters")
            assert proxy.metric("tidegate_lane_connections_total", lane="splice") == 0
        until(lambda: cluster() == (0, [(0, 2)]), f"none open, there are {cluster()}")
