"""Names that tell whose they are, the sweep of what a killed session left, and the check that ours left nothing."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path

from tests.lab.cgroup_folder import CgroupFolder, mount_point
from tests.lab.namespaces import RUN_NETNS, Namespace

PREFIX = "tglab-"


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


def own_leftovers() -> list[str]:
    """What this very process has made and not removed: must be empty when the session ends."""
    left = [str(thing) for thing in named_things() if owner(thing.name) == os.getpid()]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if (entry / "stat").read_text().rsplit(")", 1)[1].split()[1] == str(os.getpid()):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if "tests.lab" in command:
                    left.append(f"process {entry.name}: {command}")
        except OSError:
            continue
    return left
