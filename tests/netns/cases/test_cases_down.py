"""What becomes of new connections while no proxy listens (case proxy-down-policy)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, namespaces
from tests.lab.actor import Actor
from tests.lab.lab import ROOT_USER
from tests.lab.own_proxy import OwnProxy
from tests.lab.patience import patient
from tests.lab.third_party_proxy import ProxyOptions

pytestmark = [pytest.mark.kernel, pytest.mark.takes(3)]

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
        with OwnProxy(lab.app) as sidecar:
            sidecar.wait_ready()
            ready = time.monotonic()
            within(ready, lambda: all(captured(sidecar, *one) for one in everybody(lab)), "captured again")
            died = sidecar.kill()
            within(died, lambda: all(direct(*one) for one in everybody(lab)), "direct")
    for actor, host, port in everybody(lab):
        assert direct(actor, host, port)


def captured(sidecar: OwnProxy, actor: Actor, host: str, port: int) -> bool:
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


NETFILTER = ("nftables", "iptables", "tproxy")


def keepers(lab: Lab) -> list[int]:
    return [pid for pid in lab.app.processes() if runs_keeper(pid)]


def runs_keeper(pid: int) -> bool:
    """Not one that has ended and that nobody has reaped yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return "(tidegate-keeper) " in stat and "(tidegate-keeper) Z" not in stat


@pytest.mark.usefixtures("clean")
def test_open_with_somebody_elses_proxy(lab: Lab, backend: str) -> None:
    """Killed outright twice: direct within the second, and captured again within the second of its return."""
    lab.tidegate("init", "--mode", backend, "--when-down", "open").ok()
    options = ProxyOptions(transparent=backend == "tproxy")
    for _ in range(2):
        for one in everybody(lab):
            assert direct(*one), "nobody listens"
        with lab.proxy(options) as proxy:
            lab.adopt(backend, proxy)
            back = time.monotonic()
            within(back, lambda: all(a.tcp(h, p).who == "proxy" for a, h, p in everybody(lab)), "captured")
            time.sleep(1.2)
            assert all(a.tcp(h, p).who == "proxy" for a, h, p in everybody(lab)), "the sign of life is not renewed"
            died = proxy.kill()
            within(died, lambda: all(direct(*one) for one in everybody(lab)), "direct")


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("mode", NETFILTER)
def test_open_goes_by_each_listener_and_family(lab: Lab, mode: str) -> None:
    lab.tidegate("init", "--mode", mode, "--when-down", "open").ok()
    with lab.proxy(ProxyOptions(tcp=(15001,), udp=(), v4_only=True)):
        workload = lab.actor()
        within(time.monotonic(), lambda: workload.tcp(*OUT[0]).who == "proxy", "captured")
        assert direct(workload, *OUT[1]), "IPv6, in which nobody listens"
        client = lab.actor(ROOT_USER, lab.peer)
        assert all(direct(client, *one) for one in IN), "inbound, where nobody listens"


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("mode", NETFILTER)
def test_one_keeper_as_long_as_it_is_needed(lab: Lab, mode: str) -> None:
    lab.tidegate("init", "--mode", mode, "--when-down", "open").ok()
    (first,) = keepers(lab)
    lab.tidegate("init", "--mode", mode, "--when-down", "open").ok()
    assert keepers(lab) == [first], "nothing changed, so it is the same one"
    lab.tidegate("init", "--mode", mode, "--when-down", "open", "--outbound-port", "15002").ok()
    (second,) = keepers(lab)
    assert second != first, "it looks at other ports now"
    lab.tidegate("init", "--mode", mode).ok()
    assert keepers(lab) == [], "closed needs none"
    lab.tidegate("init", "--mode", mode, "--when-down", "open").ok()
    (killed,) = keepers(lab)
    os.kill(killed, signal.SIGKILL)
    lab.tidegate("init", "--mode", mode, "--when-down", "open").ok()
    assert len(keepers(lab)) == 1, "init puts back what was killed"
    lab.tidegate("init", "--mode", "ebpf", "--when-down", "open").ok()
    assert keepers(lab) == [], "ebpf needs none"
    lab.tidegate("init", "--mode", mode, "--when-down", "open").ok()
    lab.tidegate("cleanup").ok()
    assert keepers(lab) == []


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_a_keeper_stays_while_it_is_needed(lab: Lab, mode: str) -> None:
    """Longer than it waits before it looks whether it still is."""
    lab.tidegate("init", "--mode", mode, "--when-down", "open").ok()
    there = keepers(lab)
    time.sleep(6)
    assert keepers(lab) == there


@pytest.mark.usefixtures("clean")
def test_a_keeper_can_do_nothing_else_and_nobody_else_ends_it(lab: Lab) -> None:
    lab.tidegate("init", "--mode", "nftables", "--when-down", "open").ok()
    (pid,) = keepers(lab)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert [int(status[one], 16) for one in ("CapPrm", "CapEff", "CapBnd", "CapInh")] == [1 << 12, 1 << 12, 1 << 12, 0]
    assert status["NoNewPrivs"].strip() == "1"
    assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)} == {"/dev/null"}
    doors = Path(f"/proc/{pid}/net/unix").read_text().splitlines()
    name = next(line.split("@")[1] for line in doors if "@tidegate-keeper/" in line)
    attempt = (
        "import os, socket, sys\nos.setgid(1000); os.setuid(1000)\n"
        "door = socket.socket(socket.AF_UNIX); door.connect('\\0' + sys.argv[1]); door.settimeout(2)\n"
        "try:\n door.send(b'end'); assert door.recv(1) == b''\nexcept (BrokenPipeError, ConnectionResetError): pass\n"
    )
    ran = subprocess.run(["nsenter", f"--net={lab.app.path}", sys.executable, "-c", attempt, name], check=False)
    assert ran.returncode == 0
    assert keepers(lab) == [pid]


def test_a_keeper_ends_with_its_rules_and_with_its_namespace(lab: Lab) -> None:
    """Left without `cleanup`: a flushed ruleset, and a namespace that was deleted."""
    lab.tidegate("init", "--mode", "nftables", "--when-down", "open").ok()
    (pid,) = keepers(lab)
    subprocess.run(["nsenter", f"--net={lab.app.path}", "nft", "flush", "ruleset"], check=True)
    gone(pid, 7)
    lab.tidegate("cleanup").ok()
    with contextlib.ExitStack() as undo:
        other = namespaces.create(f"{lab.name}-other")
        undo.callback(subprocess.run, ["ip", "netns", "del", other.name], check=False, stderr=subprocess.DEVNULL)
        lab.tidegate("init", "--mode", "nftables", "--when-down", "open", "--netns", other.name).ok()
        (pid,) = other.processes()
        undo.pop_all()
        subprocess.run(["ip", "netns", "del", other.name], check=True)
        gone(pid, 12)


def gone(pid: int, within_s: float) -> None:
    deadline = time.monotonic() + patient(within_s)
    while runs_keeper(pid):
        assert time.monotonic() < deadline, f"keeper {pid} still runs"
        time.sleep(0.1)
