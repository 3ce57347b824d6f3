"""Names that tell whose they are, the sweep of what a killed session left, and the check that this one left nothing."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from tests.lab.cgroup_folder import CgroupFolder, mount_point
from tests.lab.namespaces import RUN_NETNS, Namespace
from tests.lab.patience import patient

PREFIX = "tglab-"
MARK = "TIDEGATE_LAB_SESSION"


def fresh_name() -> str:
    """Unique, and naming the process that has to remove whatever carries it."""
    return f"{PREFIX}{os.getpid()}-{secrets.token_hex(3)}"


def owner(name: str) -> int | None:
    """The pid in a name made by `fresh_name` (with or without a suffix); None for names of others."""
    if not name.startswith(PREFIX):
        return None
    pid = name.removeprefix(PREFIX).partition("-")[0]
    return int(pid) if pid.isdigit() else None


def named_things() -> list[Path]:
    """Everything on this machine that carries a lab's name."""
    folders = [RUN_NETNS, mount_point(), Path("/tmp")]
    entries = [entry for folder in folders if folder.is_dir() for entry in folder.iterdir()]
    return [entry for entry in entries if owner(entry.name) is not None]


def sweep_dead() -> list[str]:
    """Remove what sessions left that were killed outright. Things of living sessions aren't touched."""
    removed = []
    for thing in named_things():
        pid = owner(thing.name)
        if pid is None or Path(f"/proc/{pid}").exists():
            continue
        if thing.parent == RUN_NETNS:
            Namespace(thing.name).delete()
        elif thing.parent == mount_point():
            CgroupFolder(thing).delete()
        else:
            subprocess.run(["rm", "-rf", str(thing)], check=True)
        removed.append(str(thing))
    return removed


def begin_session() -> None:
    """Mark this process, so that everything it starts carries the mark in its environment, workers' children too."""
    os.environ.setdefault(MARK, secrets.token_hex(8))


def of_session(pids: Iterable[int], within_s: float = 5.0) -> list[str]:
    """What the processes `pids` of this session have made and not removed, and what they started and did not end.

    Must be empty when the session ends. What ends with its namespace (a companion, a keeper) gets `within_s` to do so.
    """
    mine = set(pids)
    deadline = time.monotonic() + patient(within_s)
    while True:
        left = [str(thing) for thing in named_things() if owner(thing.name) in mine] + started(mine)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def started(but: Collection[int]) -> list[str]:
    """Processes that carry this session's mark, `but` for these."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in {os.getpid(), *but}:
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"process {entry.name}: {command}")
        except OSError:
            continue  # it ended while we looked
    return found
