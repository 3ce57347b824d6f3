"""Memory that is refused, or taken back."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.faults.model import Seen, fault
from scripts.faults.world import World
from tests.lab import Lab
from tests.lab.beside import COMPANION, beside
from tests.netns.proxy.proxy_rig import ProxyProcess

AREA = "memory"
MANY = 1500


def crowd(world: World, held: contextlib.ExitStack) -> int:
    """Open many connections, which stay; how many were served."""
    served = 0
    for _ in range(MANY):
        try:
            client = held.enter_context(world.dial(timeout=0.5))
            client.sendall(b"x")
            served += client.recv(1) == b"x"
        except OSError:
            if world.proxy.process.poll() is not None:
                break
    return served


@fault(AREA, "what can't be had is refused or logged; the proxy lives, and serves when connections have gone")
def memory_refused(lab: Lab) -> Seen:
    """No more address space than the proxy has when it is idle (ENOMEM, RLIMIT_AS)."""
    with World(lab) as world:
        size = int(world.proxy.status("VmSize").split()[0]) * 1024
    with World(lab, prefix=("prlimit", f"--as={size + (1 << 20)}", "--")) as world:
        with contextlib.ExitStack() as held:
            served = crowd(world, held)
            pages = 0
            for _ in range(20):
                with contextlib.suppress(OSError):
                    pages += world.proxy.request("/metrics", port=15020)[0] == 200
            assert world.proxy.process.poll() is None, world.proxy.stderr()
        took = world.recovery(world.works, 10)
        world.recovery(world.ready, 10)
    return Seen(f"{served} of {MANY} connections and {pages} of 20 scrapes were served", took)


@contextlib.contextmanager
def memory_cgroup(name: str) -> Iterator[Path]:
    root = Path("/sys/fs/cgroup/memory")
    assert root.is_dir(), "no memory cgroup here"
    folder = root / name
    folder.mkdir()
    try:
        yield folder
    finally:
        deadline = time.monotonic() + 5
        while True:
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            assert time.monotonic() < deadline, folder
            time.sleep(0.05)


@fault(AREA, "a killed companion is followed by another; a killed proxy is for a service manager to start again")
def memory_cgroup_reached(lab: Lab) -> Seen:
    """The limit of the memory cgroup of the proxy and its companion is reached."""
    with memory_cgroup(lab.name) as folder:
        into = ("sh", "-c", f'echo $$ >{folder}/cgroup.procs; exec "$@"', "sh")
        with World(lab, prefix=into) as world, contextlib.ExitStack() as held:
            before = beside(world.proxy.pid, COMPANION)
            used = int((folder / "memory.usage_in_bytes").read_text())
            (folder / "memory.limit_in_bytes").write_text(str(used + (256 << 10)))
            crowd(world, held)
            failures = int((folder / "memory.failcnt").read_text())
            assert failures, "the limit was not reached"
            held.close()
            code = world.proxy.process.poll()
            if code is None:
                (folder / "memory.limit_in_bytes").write_text("-1")
                took = world.recovery(lambda: world.works() and world.ready(), 20)
                same = beside(world.proxy.pid, COMPANION) == before
                who = "nothing was killed, the kernel took pages back" if same else "the companion was killed"
                return Seen(f"the limit was hit {failures} times; {who}", took)
            assert code == -signal.SIGKILL
            assert world.outcome() == "refused"
            with ProxyProcess(lab):
                took = world.recovery(world.works, 10)
        return Seen(
            f"the limit was hit {failures} times; the proxy was killed; connections refused until a start", took
        )
