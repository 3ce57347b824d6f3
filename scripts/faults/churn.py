"""Everything at once, for as long as is asked: TIDEGATE_CHURN_S, 20 seconds by default, 3600 for the hour."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from scripts.faults.model import Seen, fault
from scripts.faults.world import World
from tests.lab import Lab
from tests.lab.beside import COMPANION, beside
from tests.lab.patience import patient

SECONDS = float(os.environ.get("TIDEGATE_CHURN_S", "20"))
SEED = 12
_POLICY = """
apiVersion: v1
kind: Service
metadata: {{name: churn}}
spec: {{clusterIP: 10.96.0.{number}, ports: [{{port: 80, name: tcp-main}}]}}
"""


@fault("churn", "after each change new connections work, and nothing is left over")
def mixed_churn(lab: Lab) -> Seen:
    """Connections, reloads, changes of capture, routes and addresses, a companion killed, one after the other."""
    config = lab.folder / "churn.yaml"
    config.write_text(_POLICY.format(number=1))
    with World(lab, proxy_flags=("--config", str(config))) as world:
        began, memory = time.monotonic(), _memory(world)
        descriptors = world.proxy.fds()
        dice = random.Random(SEED)  # noqa: S311  # the same churn each time
        done: dict[str, int] = {}
        connections = 0
        while time.monotonic() - began < SECONDS:
            event = dice.choice(EVENTS)
            event(world, config, dice)
            done[event.__name__] = done.get(event.__name__, 0) + 1
            for _ in range(20):
                assert world.works(timeout=5), f"after {event.__name__}, {connections} connections"
                connections += 1
        world.recovery(world.ready, 40)  # companions that die in a row are started less and less often
        deadline = time.monotonic() + patient(5)
        while world.proxy.fds() > descriptors + 4 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert world.proxy.fds() <= descriptors + 4, "descriptors are left"
        grown = _memory(world) - memory
        assert grown < 20_000, f"{grown} KiB more"
    events = sum(done.values())
    return Seen(
        f"{connections:,} connections through {events} changes in {SECONDS:.0f} s, none failed; {grown} KiB more"
    )


def _memory(world: World) -> int:
    return int(world.proxy.status("VmRSS").split()[0])


def reload(world: World, config: Path, dice: random.Random) -> None:
    new = config.with_suffix(".new")
    new.write_text(_POLICY.format(number=dice.randrange(1, 200)))
    new.replace(config)
    world.proxy.process.send_signal(signal.SIGHUP)


def another_mode(world: World, _config: Path, dice: random.Random) -> None:
    mode = dice.choice(("nftables", "iptables", "ebpf"))
    world.lab.tidegate("init", "--mode", mode).ok()


def other_flags(world: World, _config: Path, dice: random.Random) -> None:
    mode = world.lab.tidegate("status", "--json").json["mode"]
    world.lab.tidegate("init", "--mode", mode, "--exclude-outbound-ports", str(dice.randrange(20_000, 30_000))).ok()


def an_address_more(world: World, _config: Path, dice: random.Random) -> None:
    world.lab.app.run(["ip", "addr", "replace", f"10.9.9.{dice.randrange(1, 250)}/32", "dev", "lo"])


def no_companion(world: World, _config: Path, _dice: random.Random) -> None:
    for pid in beside(world.proxy.pid, COMPANION):  # none while the next one is being started
        os.kill(pid, signal.SIGKILL)


def an_idle_connection(world: World, _config: Path, _dice: random.Random) -> None:
    with world.dial() as client:
        client.sendall(b"left")


EVENTS: tuple[Callable[[World, Path, random.Random], None], ...] = (
    reload,
    another_mode,
    other_flags,
    an_address_more,
    no_companion,
    an_idle_connection,
)
