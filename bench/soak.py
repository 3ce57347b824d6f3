"""`make soak`: a million short connections through `tidegate proxy`, and what they leave in memory and descriptors.

The engine keeps what it needs again (buffers, pipes, a registry), so the first tenth is there to warm it up; from then
on nothing may grow.
"""

import argparse
import contextlib
import os
import sys
import time

from bench import loads
from bench.accounting import session_memory_bytes
from bench.contestants import CONTESTANTS
from bench.descriptors import raise_limit
from bench.processes import BenchError, Program
from bench.rounds import say
from bench.world import World, world

CHUNK_S = 5
GROWTH_BYTES = 2 << 20
"""Of memory, after the first tenth: what an allocator's fragments and a metrics page may take."""
GROWTH_DESCRIPTORS = 8


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--connections", type=int, default=1_000_000)
    parser.add_argument("--contestant", default="splice-ebpf", choices=[one.name for one in CONTESTANTS if one.proxied])
    asked = parser.parse_args()
    if os.geteuid() != 0:
        say("soak: needs root: it makes network namespaces and starts servers in them")
        return 4
    raise_limit()
    contestant = next(one for one in CONTESTANTS if one.name == asked.contestant)
    with world() as where, contestant.start(where, 1) as proxy:
        if proxy is None:
            raise BenchError(f"{asked.contestant} is no proxy")
        loads.check_path(where, proxied=True)
        return _soak(where, proxy, asked.connections)


def _soak(where: World, proxy: Program, wanted: int) -> int:
    done, before = 0, (0, 0)
    began = time.monotonic()
    while done < wanted:
        figures = loads.short(where, proxy, CHUNK_S)
        done += round(figures["short_conn_s"] * CHUNK_S)
        time.sleep(0.3)  # the last ones end
        now = session_memory_bytes(proxy.session), _descriptors(proxy.session)
        if before == (0, 0) and done >= wanted / 10:
            before = now
        say(f"{done:9,} connections  {now[0] / 1e6:.1f} MB  {now[1]} descriptors  {time.monotonic() - began:.0f} s")
    memory, descriptors = now[0] - before[0], now[1] - before[1]
    say(f"since the first tenth: {memory:+,} bytes, {descriptors:+} descriptors")
    return 1 if memory > GROWTH_BYTES or descriptors > GROWTH_DESCRIPTORS else 0


def _descriptors(session: int) -> int:
    """Open descriptors of all processes of a session, but for pipes: the engine's pool keeps them."""
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(pid)) != session:
                continue
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    count += not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("pipe:")
    return count


if __name__ == "__main__":
    sys.exit(main())
