"""Processes that are killed, stopped, or cannot be made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from scripts.faults.model import Seen, fault
from scripts.faults.world import World
from tests.lab import Lab
from tests.lab.beside import COMPANION, WARDEN, beside, has_name, the_one
from tests.lab.command_line import BINARY
from tests.lab.patience import patient
from tests.netns.proxy.proxy_rig import ROOT, ProxyProcess, until

AREA = "processes"
STOPPED_S = 30.0
MOMENTS = (0.0, 0.05, 0.2, 0.5, 0.9)


def keepers(lab: Lab) -> list[int]:
    return [pid for pid in lab.app.processes() if Path(f"/proc/{pid}/comm").read_text() == "tidegate-keeper\n"]


@fault(AREA, "open connections are reset, new ones refused at once; a proxy started again serves at once", short=True)
def proxy_killed(lab: Lab) -> Seen:
    """SIGKILL of the proxy, `--when-down closed`."""
    with World(lab) as world, world.open_connection() as carries:
        world.proxy.process.kill()
        world.proxy.process.wait()
        assert not carries()
        began = time.monotonic()
        assert world.outcome() == "refused"
        refused_ms = (time.monotonic() - began) * 1000
        with ProxyProcess(lab) as again:
            took = world.recovery(world.works, 10)
            until(lambda: again.request("/healthz/ready")[0] == 200, "readiness")
    return Seen(f"refused within {refused_ms:.0f} ms while it was down", took)


@fault(AREA, "new connections go direct within a second")
def proxy_killed_open(lab: Lab) -> Seen:
    """SIGKILL of the proxy, `--when-down open`."""
    texts = []
    worst = 0.0
    for mode in ("nftables", "ebpf"):
        with World(lab, mode, "--when-down", "open") as world:
            world.proxy.process.kill()
            world.proxy.process.wait()
            took = world.recovery(world.works, 1.5)
            worst = max(worst, took)
            texts.append(f"{mode}: direct after {took * 1000:.0f} ms")
    return Seen("; ".join(texts), worst)


@fault(AREA, "unready at once, another companion within a second; connections do not notice")
def companion_killed(lab: Lab) -> Seen:
    """SIGKILL of the companion, at five moments of its rounds."""
    worst = 0.0
    for moment in MOMENTS[:2] if patient(1) > 1 else MOMENTS:
        with World(lab) as world, world.open_connection() as carries:
            time.sleep(moment)
            os.kill(world.companion(), signal.SIGKILL)
            until(lambda: not world.ready(), "unreadiness")
            assert world.works()
            worst = max(worst, world.recovery(world.ready, 10))
            assert carries()
    return Seen("connections go on; unready meanwhile, with a line in the log", worst)


@fault(AREA, "unready until the proxy is restarted, which the log says; connections do not notice")
def warden_killed(lab: Lab) -> Seen:
    """SIGKILL of the warden."""
    with World(lab) as world, world.open_connection() as carries:
        companion = world.companion()
        os.kill(the_one(world.proxy.pid, WARDEN), signal.SIGKILL)
        until(lambda: not world.ready(), "unreadiness")
        until(lambda: not Path(f"/proc/{companion}/comm").exists() or not beside(world.proxy.pid, COMPANION), "its end")
        assert world.works()
        assert carries()
        assert "restart the proxy" in world.proxy.request("/healthz/ready")[1]
    return Seen("connections go on; readiness and log say `restart the proxy`")


@fault(AREA, "with our own proxy nothing; without it connections go direct within a second; the next `init` mends it")
def keeper_killed(lab: Lab) -> Seen:
    """SIGKILL of the keeper, `--when-down open`."""
    with World(lab, "nftables", "--when-down", "open") as world:
        (keeper,) = keepers(lab)
        os.kill(keeper, signal.SIGKILL)
        time.sleep(patient(1.5))
        assert world.works()
        before = world.proxy.metric("istio_tcp_connections_opened_total")
        assert world.works()
        until(lambda: world.proxy.metric("istio_tcp_connections_opened_total") > before, "it to be proxied")
        lab.tidegate("init", "--mode", "nftables", "--when-down", "open").ok()
        assert len(keepers(lab)) == 1
    return Seen("our companion renews the sign of life; `init` puts the keeper back")


def moments(whole_s: float, count: int) -> list[float]:
    """So many, spread over what takes so long, and a little past its end."""
    return [whole_s * (step + 1) / (count - 1) for step in range(count)]


@fault(AREA, "nothing is left of the run, whatever the moment")
def run_killed(lab: Lab) -> Seen:
    """SIGKILL of `tidegate run`, at eight moments of its start and life."""
    argv = [str(BINARY), "run", "--mode", "nftables", "--"]
    began = time.monotonic()
    lab.app.run([*argv, "true"])
    worst, running = 0.0, 0
    for moment in moments(time.monotonic() - began, 8):
        before = lab.snapshot()
        process = lab.app.popen(
            [*argv, "sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(moment)
        running += any(has_name(pid, "sleep") for pid in lab.app.processes())
        process.kill()
        process.wait()
        began = time.monotonic()
        until(lambda: not lab.app.processes(), "every process of the run to end")
        assert lab.changes_since(before, within_s=5) == ""
        worst = max(worst, time.monotonic() - began)
    return Seen(f"nothing was left; {running} times the command ran already", worst)


@fault(AREA, "all of the capture, or nothing of it, is in force; the next `init` mends it")
def init_killed(lab: Lab) -> Seen:
    """SIGKILL of `tidegate init`, at sixteen moments, nftables and ebpf."""
    whole = 0
    for mode in ("nftables", "ebpf"):
        argv = [sys.executable, "-P", "-m", "tidegate", "init", "--mode", mode]
        began = time.monotonic()
        lab.app.run(argv)
        took = time.monotonic() - began
        lab.tidegate("cleanup").ok()
        for moment in moments(took, 8):
            process = lab.app.popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(moment)
            process.kill()
            process.wait()
            status = lab.tidegate("status", "--json").json
            assert status["drift"] == [], status
            whole += bool(status["active"])
            lab.tidegate("init", "--mode", mode).ok()
            lab.tidegate("cleanup").ok()
    return Seen(f"{whole} times all of it was in force, {16 - whole} times nothing")


def _stopped(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(STOPPED_S)
    finally:
        os.kill(pid, signal.SIGCONT)


@fault(AREA, "nothing is lost: what waits is served when it goes on")
def proxy_stopped(lab: Lab) -> Seen:
    """SIGSTOP of the proxy for 30 s."""
    with World(lab) as world, world.open_connection() as carries:
        os.kill(world.proxy.pid, signal.SIGSTOP)
        with world.dial(timeout=STOPPED_S + 10) as waiting:
            waiting.sendall(b"patience")
            time.sleep(STOPPED_S)
            os.kill(world.proxy.pid, signal.SIGCONT)
            began = time.monotonic()
            assert waiting.recv(64) == b"patience"
            took = time.monotonic() - began
        assert carries()
        world.recovery(world.ready, 10)
    return Seen("a connection made meanwhile waited and was served; an open one went on", took)


@fault(AREA, "connections and readiness do not notice; it goes on where it was")
def companion_stopped(lab: Lab) -> Seen:
    """SIGSTOP of the companion for 30 s."""
    with World(lab) as world:
        companion = world.companion()
        _stopped(companion)
        assert world.works()
        assert world.ready()
        assert world.companion() == companion
        time.sleep(patient(3))
        assert world.ready()
    return Seen("connections go on")


@fault(AREA, "without another who renews, connections go direct after a second, and are captured again when it goes on")
def keeper_stopped(lab: Lab) -> Seen:
    """SIGSTOP of the keeper for 30 s, `--when-down open`, with somebody else's proxy."""
    lab.tidegate("init", "--mode", "nftables", "--when-down", "open").ok()
    try:
        with lab.proxy() as proxy:
            (keeper,) = keepers(lab)
            actor = lab.actor()
            until(lambda: actor.tcp("10.0.0.1", 80).who == "proxy", "capture")
            os.kill(keeper, signal.SIGSTOP)
            try:
                until(lambda: actor.tcp("10.0.0.1", 80).who == "peer", "connections to go direct", timeout=2)
                time.sleep(STOPPED_S - 2)
            finally:
                os.kill(keeper, signal.SIGCONT)
            began = time.monotonic()
            until(lambda: actor.tcp("10.0.0.1", 80).who == "proxy", "capture again", timeout=2)
            took = time.monotonic() - began
            assert proxy.pid
    finally:
        lab.tidegate("cleanup").ok()
    return Seen("direct while it stood still", took)
