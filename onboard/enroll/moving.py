"""Moving a process and its descendants into a folder of ours, and everything in that folder back."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from intercept import runs
from intercept.errors import CaptureError, PrivilegeMissing
from intercept.host import cgroups


class Moved(NamedTuple):
    """folder: where the processes are. home: where their first one was, and where those go back that were born since.
    homes: where the others were."""

    folder: Path
    home: Path
    homes: dict[int, Path]


def move(pid: int, folder: Path) -> Moved:
    """Make the folder, below the process's own so that limits set on it go on holding, and move the process with its
    descendants there. Raises CaptureError, with everything back where it was."""
    home = _folder_of(pid)
    if home is None:
        raise CaptureError(f"pid {pid} has ended")
    moved = Moved(folder, home, {})
    try:
        folder.mkdir()
    except PermissionError:
        raise PrivilegeMissing("CAP_DAC_OVERRIDE", f"make the cgroup folder {folder}") from None
    except OSError as error:
        raise CaptureError(f"cannot make the cgroup folder {folder}: {error.strerror}") from None
    try:
        # A process that is in the folder has its children there, so it is over when a look finds none outside.
        while outside := [one for one in (pid, *_descendants(pid)) if _is_elsewhere(one, folder)]:
            for one in outside:
                moved.homes.setdefault(one, _folder_of(one) or home)
                with contextlib.suppress(ProcessLookupError):
                    (folder / "cgroup.procs").write_text(str(one))
    except OSError as error:
        move_back(moved)
        raise CaptureError(f"cannot move pid {pid} into {folder}: {error.strerror}") from None
    return moved


def move_back(moved: Moved) -> None:
    """Leaves nothing of ours; no process is ended. To be called repeatedly, by any process that knows of the move."""
    while pids := cgroups.processes_in(moved.folder):
        for pid in pids:
            home = moved.homes.get(pid, moved.home)
            with contextlib.suppress(ProcessLookupError):
                (home if home.exists() else moved.folder.parent).joinpath("cgroup.procs").write_text(str(pid))
    with contextlib.suppress(FileNotFoundError):
        moved.folder.rmdir()


def _is_elsewhere(pid: int, folder: Path) -> bool:
    now = _folder_of(pid)
    return now is not None and now != folder


def _folder_of(pid: int) -> Path | None:
    """None: it has ended."""
    try:
        return None if runs.start_time(pid) is None else cgroups.folder_of_process(pid)
    except OSError:
        return None


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (parent := _parent(int(name))) is not None:
            children.setdefault(parent, []).append(int(name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _parent(pid: int) -> int | None:
    fields = runs.stat_fields(pid)
    return None if fields is None else int(fields[1])
