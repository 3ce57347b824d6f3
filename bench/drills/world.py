"""Two namespaces: a pod with the caller and a proxy, and ten endpoints of which one is unwell."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.drills.endpoints import BLACK_HOLED, HEALTHY, PORT
from bench.processes import Program, folder, run
from demo.network import Network, ip

ENDPOINTS = tuple(f"10.77.0.{last}" for last in range(10, 20))
SICK = ENDPOINTS[0]
VIP = "10.77.0.200"
_HOLE = f"""
table ip hole {{
  chain in {{
    type filter hook input priority 0
    ip daddr {SICK} drop
  }}
}}
"""


@dataclass(slots=True)
class Drill:
    pod: str
    home: Path
    counts: Path
    servers: Program

    def seconds_of(self) -> dict[str, dict[int, int]]:
        """Requests that each endpoint got, second by second. Ends the endpoints."""
        self.servers.stop()
        found = json.loads(self.counts.read_text())
        return {address: {int(second): count for second, count in one.items()} for address, one in found.items()}


@contextlib.contextmanager
def drill(kind: str) -> Iterator[Drill]:
    """kind: of the one that is unwell."""
    with folder() as home, Network() as network:
        for address in ENDPOINTS:
            ip("-n", network.peer, "addr", "add", f"{address}/24", "dev", "eth0")
        if kind == BLACK_HOLED:
            run(network.peer, ["nft", "-f", "-"], 10, _HOLE)
        kinds = [f"{address}={kind if address == SICK else HEALTHY}" for address in ENDPOINTS]
        counts = home / "counts.json"
        argv = [sys.executable, "-m", "bench.drills.endpoints", str(counts), *kinds]
        with Program(network.peer, argv) as servers:
            servers.wait_listening(PORT)
            yield Drill(network.app, home, counts, servers)
