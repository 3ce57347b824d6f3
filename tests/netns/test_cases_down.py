"""What becomes of new connections while no proxy listens (case proxy-down-policy)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.actor import Actor
from tests.lab.lab import ROOT_USER
from tests.lab.patience import patient
from tests.lab.sidecar import Sidecar
from tests.lab.third_party_proxy import ProxyOptions

pytestmark = pytest.mark.kernel

OUT = (("10.0.0.1", 80), ("fd00::1", 80))
IN = (("10.0.0.2", 8080), ("fd00::2", 8080))
PROMISED_S = 1.0
SLACK_S = patient(0.7)  # the machine is shared: a poll may come that much late


@pytest.fixture
def clean(lab: Lab) -> Iterator[None]:
    lab.serve_app()
    yield
    lab.tidegate("cleanup").ok()


def everybody(lab: Lab) -> list[tuple[Actor, str, int]]:
    workload, client = lab.actor(), lab.actor(ROOT_USER, lab.peer)
    return [(workload, *to) for to in OUT] + [(client, *to) for to in IN]


@pytest.mark.usefixtures("clean")
def test_closed_refuses_at_once_before_during_and_after(lab: Lab, backend: str) -> None:
    lab.tidegate("init", "--mode", backend).ok()

    def all_refused(when: str) -> None:
        for actor, host, port in everybody(lab):
            reply = actor.tcp(host, port)
            assert reply.status == "refused", f"{when}: {host}:{port}: {reply}"
            assert reply.ms < patient(1000), f"{when}: {reply}"

    all_refused("before a proxy ever listened")
    with lab.proxy(ProxyOptions(transparent=backend == "tproxy")) as proxy:
        lab.adopt(backend, proxy)
        for actor, host, port in everybody(lab):
            assert actor.tcp(host, port).who == "proxy"
        proxy.kill()
        all_refused("after its death")


@pytest.mark.usefixtures("clean")
def test_open_lets_them_go_direct_and_comes_back(lab: Lab, backend: str) -> None:
    """With our own proxy: in the netfilter backends it is the proxy that keeps saying that it lives."""
    lab.tidegate("init", "--mode", backend, "--when-down", "open").ok()
    for actor, host, port in everybody(lab):
        assert actor.tcp(host, port).who in ("peer", "app"), "no proxy has ever listened"
    for _ in range(2):
        with Sidecar(lab.app) as sidecar:
            sidecar.wait_ready()
            ready = time.monotonic()
            within(ready, lambda: all(captured(sidecar, *one) for one in everybody(lab)), "captured again")
            died = sidecar.kill()
            within(died, lambda: all(direct(*one) for one in everybody(lab)), "direct")
    for actor, host, port in everybody(lab):
        assert direct(actor, host, port)


def captured(sidecar: Sidecar, actor: Actor, host: str, port: int) -> bool:
    """It answered (the sidecar relays), and the sidecar counted one more connection."""
    before = sidecar.connections_opened()
    reply = actor.tcp(host, port)
    return reply.who in ("peer", "app") and sidecar.connections_opened() > before


def direct(actor: Actor, host: str, port: int) -> bool:
    return actor.tcp(host, port).who in ("peer", "app")


def within(since: float, holds: object, what: str) -> None:
    """Poll until it holds; the promise counts from `since`."""
    assert callable(holds)
    limit = since + PROMISED_S + SLACK_S
    while True:
        started = time.monotonic()
        if holds():
            return
        assert started < limit, f"not {what} {started - since:.2f} s later"
        time.sleep(0.05)
