"""Where cgroup v2 is on this host: its mount (hybrid layouts too), folders below it, levels as netfilter counts."""

import contextlib
import os
from pathlib import Path

from intercept.errors import Unsupported


def mounts_in(mountinfo: str) -> list[tuple[str, str]]:
    """(root, mount point) of every cgroup2 mount in the text of /proc/self/mountinfo, as that text orders them."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if after.split(" ", 1)[0] == "cgroup2" and len(fields) >= 5:
            found.append((_unescaped(fields[3]), _unescaped(fields[4])))
    return found


def _unescaped(text: str) -> str:
    """mountinfo writes blanks, tabs, newlines and backslashes as three octal digits."""
    pieces = text.split("\\")
    return pieces[0] + "".join(chr(int(piece[:3], 8)) + piece[3:] for piece in pieces[1:])


def mount_points() -> list[Path]:
    """Where cgroup v2 can be reached. Mounts of the whole hierarchy (as our namespace sees it) go first."""
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    return [Path(point) for _, point in sorted(mounts_in(text), key=lambda mount: mount[0] != "/")]


def find_mount_point() -> Path | None:
    """The first of `mount_points`, or None."""
    return next(iter(mount_points()), None)


def mount_point() -> Path:
    """Raises Unsupported where cgroup v2 is not mounted."""
    found = find_mount_point()
    if found is None:
        raise Unsupported("cgroup v2 is not mounted here (mount -t cgroup2 none /sys/fs/cgroup)")
    return found


def is_mounted_at(path: Path) -> bool:
    """Whether the whole of cgroup v2 (as our namespace sees it) can be reached at exactly this path."""
    text = Path("/proc/thread-self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    return ("/", str(path)) in mounts_in(text)


def own_folder() -> Path:
    """The full path of the calling process's cgroup v2 folder."""
    found = folder_of_process("self")
    if found is None:
        raise Unsupported("this process is in no cgroup v2 folder (/proc/self/cgroup has no line 0::)")
    return found


def folder_of_process(pid: int | str) -> Path | None:
    """The full path of a process's cgroup v2 folder; None: it is in none. Raises OSError when it has ended."""
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::"):
            return mount_point() / line[3:].lstrip("/")
    return None


def processes_in(folder: Path) -> list[int]:
    """Of the folder and those below it. What goes meanwhile is passed over."""
    pids: list[int] = []
    for path, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            pids += map(int, Path(path, "cgroup.procs").read_text(encoding="ascii").split())
    return pids


def path_of(folder: Path) -> str:
    """`folder` as an Intent names it: below the mount, without leading slash."""
    return str(folder.relative_to(mount_point()))


def folder_of(path: str) -> Path:
    """The full path of what an Intent names. Raises Unsupported where there is no cgroup v2."""
    return mount_point() / path


def exists(path: str) -> bool:
    return os.path.isdir(folder_of(path))


def id_of(path: str) -> int | None:
    """The kernel's id of the folder, which no later folder of the same name has. None: there is no such folder."""
    mounted = find_mount_point()
    try:
        return os.stat(mounted / path).st_ino if mounted is not None else None
    except OSError:
        return None


def level(path: str) -> int:
    """How deep netfilter counts the folder: 1 just below the top."""
    return path.count("/") + 1


def join(folder: str | Path) -> None:
    """Put the calling process into `folder` (a full path). One write: it is safe between fork and exec."""
    fd = os.open(os.path.join(folder, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"0")
    finally:
        os.close(fd)
