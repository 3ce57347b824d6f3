"""Names under which things of ours stand in the kernel, and whether a run that made them still lives."""

import os
import re

PLAIN = "tidegate"
"""What `init` puts in force."""
_RUN = re.compile(r"tidegate-run-(\d+)-(\d+)(?:-(\d+))?")
"""Pid, start time, pid namespace. Runs of older versions have no last part."""


def name_for(pid: int) -> str:
    """Unique on this host while that process lives: of its cgroup folder, its rules and its pins."""
    return name_of(pid, start_time(pid))


def name_of(pid: int, started: int | None) -> str:
    """The same for a process of this pid namespace that may have ended, by when it started."""
    return f"tidegate-run-{pid}-{started}-{_pid_namespace()}"


def is_ours(name: str) -> bool:
    return name == PLAIN or _RUN.fullmatch(name) is not None


def is_run(name: str) -> bool:
    return _RUN.fullmatch(name) is not None


def pid_of(name: str) -> int | None:
    """Of the run's supervisor, if this pid namespace has it."""
    made_by = _RUN.fullmatch(name)
    if made_by is None or made_by[3] not in (None, str(_pid_namespace())):
        return None
    return int(made_by[1])


def lives(name: str) -> bool:
    """Whether the process that made this run's rules still runs; its start time guards against a reused pid.

    The process of another pid namespace cannot be seen from here and counts as living: containers of one pod share
    their network, containers on one host their cgroups, and none may take away what another's run has in force.
    """
    made_by = _RUN.fullmatch(name)
    if made_by is None:
        return False
    pid, started, namespace = made_by.groups()
    if namespace is not None and int(namespace) != _pid_namespace():
        return True
    return start_time(int(pid)) == int(started)


def start_time(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot; None when it has ended. With the pid, never reused."""
    fields = stat_fields(pid)
    return None if fields is None or fields[0] in (b"Z", b"X") else int(fields[19])  # field 22 of proc_pid_stat(5)


def stat_fields(pid: int) -> list[bytes] | None:
    """/proc/PID/stat from field 3, the state, on; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # The name in brackets may itself hold blanks and brackets: fields are counted from the last one.
    return stat[stat.rindex(b")") + 2 :].split()


def _pid_namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino
