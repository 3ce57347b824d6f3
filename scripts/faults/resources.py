"""Descriptors, ports and processes that are used up."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.faults.model import Seen, fault
from scripts.faults.world import World
from tests.lab import Lab
from tests.lab.command_line import BINARY
from tests.lab.patience import patient
from tests.netns.proxy.proxy_rig import PEER_V4, Server, dial, echo

AREA = "resources"
MANY = 20_000


@fault(AREA, "connections past the limit wait; admin and probes answer; all works when some have gone", short=True)
def descriptors_used_up(lab: Lab) -> Seen:
    """All descriptors used up by connections (EMFILE, `ulimit -n 512`)."""
    limited = ("prlimit", "--nofile=512:512", "--")
    with World(lab, proxy_flags=("--max-connections", "250"), prefix=limited) as world:
        slowest = 0.0
        with contextlib.ExitStack() as held:
            for _ in range(300):
                held.enter_context(world.dial()).sendall(b"x")
            for _ in range(20):
                began = time.monotonic()
                assert world.proxy.request("/healthz/live", port=15020)[0] == 200
                assert world.proxy.request("/connections")[0] == 200
                slowest = max(slowest, time.monotonic() - began)
            assert world.outcome() == "no answer"
        took = world.recovery(world.works, 5)
    return Seen(f"one too many waits; two admin requests took {slowest * 1000:.0f} ms at most", took)


@fault(AREA, "a new connection is served beside them, and memory stays in proportion")
def idle_connections(lab: Lab) -> Seen:
    """20,000 idle connections, or as many as the machine's limit of descriptors allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = min(MANY, hard * 9 // 20 - 500)
    with contextlib.ExitStack() as held:
        addresses = [f"192.0.2.{n}" for n in range(1, 7)]
        for address in addresses:
            held.enter_context(Server(lab.peer, address, 7001, lambda sock: sock.recv(1) and None, inline=True))
        world = held.enter_context(World(lab))
        before = int(world.proxy.status("VmRSS").split()[0])
        held.enter_context(_silent(lab, addresses, many))
        began = time.monotonic()
        assert world.works()
        took = time.monotonic() - began
        grown = (int(world.proxy.status("VmRSS").split()[0]) - before) / 1024
        assert world.ready()
    return Seen(f"{many:,} took {grown:.0f} MiB; a new one was served within {took * 1000:.0f} ms")


@contextlib.contextmanager
def _silent(lab: Lab, addresses: list[str], count: int) -> Iterator[None]:
    """So many connections of the workload's that say nothing, from a process of its own."""
    script = (
        "import resource, socket, sys\n"
        "most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))\n"
        "held = []\n"
        f"for n in range({count}):\n"
        f"    one = socket.socket(); one.settimeout(10); one.connect(({addresses!r}[n % {len(addresses)}], 7001))\n"
        "    held.append(one)\n"
        "print('up', flush=True); sys.stdin.read()\n"
    )
    process = lab.app.popen(["python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n", "the connections could not be made"
        try:
            yield
        finally:
            process.kill()


@fault(AREA, "connections past the last port fail as they do without us; the rest go on")
def ports_used_up(lab: Lab) -> Seen:
    """All local ports towards one destination used up."""
    with Server(lab.peer, PEER_V4, 12399, echo), World(lab) as world, contextlib.ExitStack() as held:
        lab.app.sysctl("net/ipv4/ip_local_port_range", "40000 40099")
        outcomes = []
        for _ in range(150):
            try:
                client = held.enter_context(dial(lab.app, PEER_V4, 12399, timeout=1))
                client.sendall(b"x")
                outcomes.append("works" if client.recv(1) else "closed")
            except ConnectionResetError:
                outcomes.append("reset")
            except OSError as failed:
                outcomes.append(failed.strerror or "no answer")
        served = outcomes.count("works")
        assert 40 <= served < 150, outcomes
        assert world.ready()
        held.close()
        lab.app.sysctl("net/ipv4/ip_local_port_range", "32768 60999")
        took = world.recovery(world.works, 5)
    others = ", ".join(sorted(set(outcomes) - {"works"}))
    return Seen(f"of 150 at once, {served} were served with 100 ports; the others met: {others}", took)


@fault(AREA, "the run ends with 125 and what is missing, and leaves nothing", short=True)
def no_more_processes(lab: Lab) -> Seen:
    """`run` can't start a process (EAGAIN of fork)."""
    root = Path("/sys/fs/cgroup/pids")
    assert root.is_dir(), "no pids cgroup here"
    folder = root / lab.name
    folder.mkdir()
    before = lab.snapshot()
    seen = []
    try:
        for most in (1, 2, 3, 4):
            (folder / "pids.max").write_text(str(most))
            prefix = ["sh", "-c", f'echo $$ >{folder}/cgroup.procs; exec "$@"', "sh"]
            ran = lab.app.run([*prefix, BINARY, "run", "--mode", "nftables", "--", "true"], check=False)
            assert ran.returncode in (0, 125), (most, ran)
            assert ran.returncode == 0 or ran.stderr.startswith("tidegate: "), ran.stderr
            assert "Traceback" not in ran.stderr, ran.stderr
            assert lab.changes_since(before, within_s=3) == ""
            seen.append(str(ran.returncode))
    finally:
        deadline = time.monotonic() + patient(5)
        while True:
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            assert time.monotonic() < deadline, folder
            time.sleep(0.05)
    return Seen(f"with 1, 2, 3 and 4 processes allowed: exit codes {', '.join(seen)}, and nothing left")
