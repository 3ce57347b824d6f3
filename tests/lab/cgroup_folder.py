"""Throwaway cgroup v2 folders, wherever cgroup v2 is mounted."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@cache
def mount_point() -> Path:
    """The first cgroup2 mount of the mount table (on hybrid hosts /sys/fs/cgroup/unified)."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return Path(before.split()[4])
    raise AssertionError("no cgroup v2 is mounted here: the lab needs one")


@dataclass(frozen=True, slots=True)
class CgroupFolder:
    folder: Path

    @property
    def path(self) -> str:
        """As it stands in /proc/PID/cgroup: below the mount, with a leading slash."""
        return "/" + str(self.folder.relative_to(mount_point()))

    @classmethod
    def create(cls, name: str) -> CgroupFolder:
        folder = mount_point() / name
        folder.mkdir(parents=True)
        return cls(folder)

    def child(self, name: str) -> CgroupFolder:
        (self.folder / name).mkdir()
        return CgroupFolder(self.folder / name)

    def pids(self) -> list[int]:
        return [int(p) for p in (self.folder / "cgroup.procs").read_text().split()]

    def delete(self) -> None:
        """Remove the folder and those below it; they must be empty of processes, which may take a moment to go."""
        deadline = time.monotonic() + 2
        for current, _, _ in os.walk(self.folder, topdown=False):
            while True:
                try:
                    os.rmdir(current)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)
