"""Whose connections are looked at: of all processes here, of a cgroup folder, or of a process and its children."""

import os
from pathlib import Path
from typing import NamedTuple

MOST_FOLDERS = 10_000


class Scope(NamedTuple):
    """folder: full path of a cgroup v2 folder, with those below it. pid: a process and those that it has started."""

    everywhere: bool = False
    folder: Path | None = None
    pid: int | None = None


class Whose:
    """The scope as of the last `refresh`. A process that belonged to it once does so for ever."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._pids: set[int] = set() if scope.pid is None else {scope.pid}
        self._folders: frozenset[int] = frozenset()

    def refresh(self) -> None:
        if self._scope.pid is not None:
            self._pids |= _children_of(self._pids)
        if self._scope.folder is not None:
            self._folders = _ids_below(self._scope.folder)

    def has_process(self, pid: int) -> bool:
        return self._scope.pid is None or pid in self._pids

    def has_socket(self, cgroup: int) -> bool:
        """cgroup: id of the folder that the socket was made in."""
        return self._scope.folder is None or cgroup in self._folders


def _children_of(pids: set[int]) -> set[int]:
    """Theirs, and those of these. A process whose parent has ended is found while it had one."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parent = _parent_of(int(entry))
            if parent is not None:
                parents[int(entry)] = parent
    found: set[int] = set()
    more = pids
    while more:
        more = {pid for pid, parent in parents.items() if parent in more and pid not in found}
        found |= more
    return found


def _parent_of(pid: int) -> int | None:
    from intercept.runs import stat_fields

    fields = stat_fields(pid)
    return None if fields is None else int(fields[1])


def _ids_below(folder: Path) -> frozenset[int]:
    found = []
    for path, _, _ in os.walk(folder):
        try:
            found.append(os.stat(path).st_ino)
        except OSError:  # it has gone
            continue
        if len(found) >= MOST_FOLDERS:
            break
    return frozenset(found)
