"""A listener that is not there is said: by `status`, `check` and `explain`, and it is what connections meet."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.lab import ROOT_USER
from tests.lab.patience import patient
from tests.lab.third_party_proxy import ProxyOptions

pytestmark = pytest.mark.kernel

NOW = {"proxy": "proxied", "refused": "refused", "peer": "direct", "app": "direct"}
NETFILTER = ("nftables", "iptables", "tproxy")


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    lab.serve_app()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


def met(lab: Lab, version: int = 4) -> dict[str, str]:
    """What new connections really get, in the words of `now`."""
    far, near = ("10.0.0.1", "10.0.0.2") if version == 4 else ("fd00::1", "fd00::2")
    outbound, inbound = lab.actor().tcp(far, 80), lab.actor(ROOT_USER, lab.peer).tcp(near, 8080)
    return {"outbound": NOW[outbound.who or outbound.status], "inbound": NOW[inbound.who or inbound.status]}


def status(lab: Lab) -> dict[str, Any]:
    """It tells drift by its exit code, and nothing else."""
    found: dict[str, Any] = lab.tidegate("status", "--json").ok().json
    assert found["drift"] == []
    return found


def explained(lab: Lab, direction: str, destination: str) -> dict[str, Any]:
    who = ("--uid", "1000", "--gid", "1000") if direction == "outbound" else ("--src", "10.0.0.1")
    found: dict[str, Any] = lab.tidegate("explain", direction, "--dst", destination, *who, "--json").ok().json
    return found


def transparent(backend: str) -> ProxyOptions:
    return ProxyOptions(transparent=backend == "tproxy")


@pytest.mark.parametrize("when_down", ["closed", "open"])
def test_before_during_and_after_a_proxy(lab: Lab, backend: str, when_down: str) -> None:
    lab.tidegate("init", "--mode", backend, "--when-down", when_down, "--dns", "all").ok()
    fate = {"closed": "refused", "open": "direct"}[when_down]

    def nobody_listens() -> None:
        found = status(lab)
        assert found["now"] == {"outbound": fate, "inbound": fate, "dns": fate}
        assert met(lab) == {"outbound": fate, "inbound": fate}
        ports = {"outbound": 15001, "inbound": 15006, "dns": 15053}
        assert found["listeners"] == {name: {"port": port, "pid": None, "name": ""} for name, port in ports.items()}
        for direction, destination in (("outbound", "10.0.0.1:80"), ("inbound", "10.0.0.2:8080")):
            decision = explained(lab, direction, destination)
            assert decision["decision"] == "capture"
            assert f"nobody listens on port {ports[direction]}" in decision["reason"], decision
        said = lab.tidegate("status").ok().out
        assert f"outbound {fate}" in said, said
        assert "nobody listens on port 15006" in said, said

        checked = lab.tidegate("check", "--json").ended(1).json
        assert checked["ok"] is False
        failed = {probe["name"]: probe["detail"] for probe in checked["probes"] if not probe["ok"]}
        assert {"outbound/ipv4/tcp", "inbound/ipv4/tcp", "dns/ipv4/udp"} <= failed.keys()
        assert all("nobody listens" in detail for detail in failed.values()), failed
        assert lab.tidegate("check", "--stand-in", "--json").ok().json["ok"] is True

    nobody_listens()
    with lab.proxy(transparent(backend)) as proxy:
        lab.adopt(backend, proxy)
        eventually(lab, {"outbound": "proxied", "inbound": "proxied", "dns": "proxied"})
        assert met(lab) == {"outbound": "proxied", "inbound": "proxied"}
        named = status(lab)["listeners"]
        assert {one["pid"] for one in named.values()} == {proxy.pid}
        assert {one["name"] for one in named.values()} == {Path(f"/proc/{proxy.pid}/comm").read_text().strip()}
        assert "nobody" not in explained(lab, "outbound", "10.0.0.1:80")["reason"]
        assert lab.tidegate("check", "--json").ok().json["ok"] is True
        proxy.kill()
        eventually(lab, {"outbound": fate, "inbound": fate, "dns": fate})
        nobody_listens()


def eventually(lab: Lab, now: dict[str, str | None]) -> None:
    """The sign of life of `--when-down open` follows the proxy within a second."""
    deadline = time.monotonic() + patient(2.5)
    while (found := status(lab)["now"]) != now:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_what_is_not_captured_has_no_listener(lab: Lab, backend: str) -> None:
    lab.tidegate("init", "--mode", backend, "--include-inbound-ports", "").ok()
    found = status(lab)
    assert (found["listeners"]["inbound"], found["listeners"]["dns"]) == (None, None)
    assert found["now"] == {"outbound": "refused", "inbound": None, "dns": None}
    lab.tidegate("cleanup").ok()
    found = status(lab)
    assert found["listeners"] == {"outbound": None, "inbound": None, "dns": None}
    assert found["now"] == {"outbound": None, "inbound": None, "dns": None}


def test_one_family_without_a_listener(lab: Lab, backend: str) -> None:
    lab.tidegate("init", "--mode", backend).ok()
    with lab.proxy(ProxyOptions(v4_only=True, transparent=backend == "tproxy")) as proxy:
        lab.adopt(backend, proxy)
        assert (met(lab, 4)["outbound"], met(lab, 6)["outbound"]) == ("proxied", "refused")
        assert status(lab)["now"]["outbound"] == "refused"
        assert "nobody" not in explained(lab, "outbound", "10.0.0.1:80")["reason"]
        assert "nobody listens on port 15001 over IPv6" in explained(lab, "outbound", "[fd00::1]:80")["reason"]
        assert "over IPv6" in lab.tidegate("status").ok().out
        lab.tidegate("init", "--mode", backend, "--ipv6", "off").ok()
        lab.adopt(backend, proxy)
        assert status(lab)["now"]["outbound"] == "proxied", "IPv6 is not captured, so nobody has to listen for it"


def test_tproxy_needs_a_transparent_listener(lab: Lab) -> None:
    lab.tidegate("init", "--mode", "tproxy").ok()
    with lab.proxy(ProxyOptions(transparent=False)):
        assert status(lab)["now"] == {"outbound": "proxied", "inbound": "refused", "dns": None}
        assert met(lab) == {"outbound": "proxied", "inbound": "refused"}
        assert "IP_TRANSPARENT" in explained(lab, "inbound", "10.0.0.2:8080")["reason"]


@pytest.mark.parametrize("mode", NETFILTER)
def test_open_without_its_keeper_goes_direct_and_says_so(lab: Lab, mode: str) -> None:
    """A proxy listens, and nothing tells the rules."""
    lab.tidegate("init", "--mode", mode, "--when-down", "open").ok()
    with lab.proxy(transparent(mode)):
        eventually(lab, {"outbound": "proxied", "inbound": "proxied", "dns": None})
        comms = {pid: Path(f"/proc/{pid}/comm").read_text() for pid in lab.app.processes()}
        (keeper,) = (pid for pid, comm in comms.items() if comm == "tidegate-keeper\n")
        os.kill(keeper, signal.SIGKILL)
        eventually(lab, {"outbound": "direct", "inbound": "direct", "dns": None})
        assert met(lab) == {"outbound": "direct", "inbound": "direct"}
        assert "run init again" in explained(lab, "outbound", "10.0.0.1:80")["reason"]
        assert lab.tidegate("check", "--json").ended(1).json["ok"] is False
        lab.tidegate("init", "--mode", mode, "--when-down", "open").ok()
        eventually(lab, {"outbound": "proxied", "inbound": "proxied", "dns": None})
