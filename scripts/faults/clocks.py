"""The wall clock jumps. The machine's is everybody's, so only the proxy's processes see it move (clock.c)."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from pathlib import Path

from scripts.faults.model import Seen, fault
from scripts.faults.world import World
from tests.lab import Lab
from tests.lab.patience import patient

HOUR = 3600


@fault("time", "nothing but time stamps notices: no connection ends, no probe fails, no timeout fires", short=True)
def clock_jumps(lab: Lab) -> Seen:
    """The wall clock jumps an hour back, a day forth, and to 1970."""
    shim, moved = lab.folder / "clock.so", lab.folder / "moved"
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", shim, source], check=True)
    moved.write_bytes(struct.pack("=q", 0))
    env = {**os.environ, "LD_PRELOAD": str(shim), "FAULTS_CLOCK": str(moved)}
    with World(lab, proxy_flags=("--log-format", "json"), env=env) as world, world.open_connection() as carries:
        for seconds in (-HOUR, 24 * HOUR, -int(time.time()) + 1):
            with moved.open("r+b") as file:
                file.write(struct.pack("=q", seconds))
            time.sleep(patient(2.5))
            assert carries()
            assert world.works()
            assert world.ready(), world.proxy.stderr()
        assert "1970" in world.proxy.stderr() + world.proxy.out_path.read_text(), "the proxy did not see the jump"
        assert all(one["duration_ms"] < 60_000 for one in world.proxy.access_log())
    return Seen("durations stay right; the log's time stamps follow the clock")
