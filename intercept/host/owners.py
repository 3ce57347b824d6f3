"""Which process has a socket open, found through /proc."""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple


class Owner(NamedTuple):
    pid: int
    name: str
    """As /proc/PID/comm has it, without what a terminal would not print."""


def owners_of(inodes: Iterable[int]) -> dict[int, Owner]:
    """Socket inode -> the process with the lowest number that has it open.

    A socket is missing here where its process belongs to another user, whom only CAP_SYS_PTRACE may look into, or to
    another process namespace.
    """
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, Owner] = {}
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()) if wanted else ():
        for inode in _sockets_of(pid, wanted):
            if inode not in found:
                found[inode] = Owner(pid, _name_of(pid))
        if len(found) == len(wanted):
            break
    return found


def _sockets_of(pid: int, wanted: dict[str, int]) -> list[int]:
    """A process that has ended, or is not ours to look into, has none."""
    folder = f"/proc/{pid}/fd"
    links = []
    with suppress(OSError):
        for entry in os.listdir(folder):
            with suppress(OSError):
                links.append(os.readlink(f"{folder}/{entry}"))
    return [wanted[link] for link in links if link in wanted]


def _name_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return "".join(c if c.isprintable() else "?" for c in file.read().rstrip("\n"))
    except OSError:
        return ""
