"""What the kernel says that processes and the machine used: CPU time and memory."""

import contextlib
import os
from dataclasses import dataclass

from bench.processes import PROC, session_members, stat_fields

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12  # fields 14 and 15 of /proc/PID/stat: all threads, those that have ended included
_IDLE, _IOWAIT, _STEAL = 3, 4, 7


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds: of the proxy's processes, and of the whole machine (client, servers, kernel threads included)."""

    proxy_s: float
    machine_s: float
    stolen_s: float

    def since(self, before: "Cpu") -> "Cpu":
        return Cpu(self.proxy_s - before.proxy_s, self.machine_s - before.machine_s, self.stolen_s - before.stolen_s)


def cpu(session: int | None) -> Cpu:
    """Now. None: there is no proxy, and its time is 0."""
    with (PROC / "stat").open() as stat:
        fields = [int(word) for word in stat.readline().split()[1:]]
    # Guests' time is contained in user's, and stolen time is nobody's work here.
    busy = sum(fields[:8]) - fields[_IDLE] - fields[_IOWAIT] - fields[_STEAL]
    return Cpu(0.0 if session is None else session_cpu_s(session), busy * TICK_S, fields[_STEAL] * TICK_S)


def session_cpu_s(session: int) -> float:
    total = 0
    for pid in session_members(session):
        with contextlib.suppress(ProcessLookupError):
            fields = stat_fields(pid)
            total += int(fields[_UTIME]) + int(fields[_STIME])
    return total * TICK_S


def session_memory_bytes(session: int) -> int:
    """Proportional set size of all its processes: shared pages count once, whoever forked whom."""
    total = 0
    for pid in session_members(session):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total
