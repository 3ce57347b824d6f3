"""The BPF file system: where it is, and the folders of ours in it.

`<bpffs>/tidegate/<namespace>/<name>/{maps,links}/…`. A folder is prepared under another name and becomes
visible by one rename. The file system refuses names with dots.
"""

import ctypes
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_BPF_FS_MAGIC = 0xCAFE4A11
USUAL = Path("/sys/fs/bpf")
_OURS = "tidegate"
_POLL_S = 0.02


class NoBpffs(Exception):
    """No BPF file system is mounted that outlives us; the message says what to do."""


class Busy(Exception):
    """Another tidegate is at work in the folder."""


def is_bpffs(path: Path) -> bool:
    # os.statvfs doesn't tell the file system's type.
    buffer = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(path), buffer) != 0:
        return False
    kind: int = struct.unpack_from("@l", buffer)[0]
    return kind & 0xFFFFFFFF == _BPF_FS_MAGIC


class Mount(NamedTuple):
    """One line of mountinfo. tied: mounts and unmounts elsewhere propagate to it."""

    point: str
    device: str
    tied: bool


def mounts_in(mountinfo: str) -> list[Mount]:
    """The BPF file systems in such a text, last mounted last. Pure."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if after.split(" ", 1)[0] == "bpf" and len(fields) >= 6:
            tied = any(tag.startswith(("shared:", "master:")) for tag in fields[6:])
            found.append(Mount(fields[4].encode().decode("unicode_escape"), fields[2], tied))
    return found


def find() -> Path | None:
    """The usual place if it is one, else another mount, else what a process that outlives us sees there.

    The last because `ip netns exec` hides what is mounted below /sys.
    """
    if is_bpffs(USUAL):
        return USUAL
    for mount in mounts_in(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")):
        if is_bpffs(Path(mount.point)):
            return Path(mount.point)
    seen = (Path(f"/proc/{process}/root") / USUAL.relative_to("/") for process in _outliving())
    return next((path for path in seen if is_bpffs(path)), None)


def _outliving() -> tuple[int, ...]:
    return (1, os.getppid())


def folder_of(root: Path, namespace: str) -> Path:
    """Of one network namespace, whether it exists or not."""
    return root / _OURS / namespace


@contextmanager
def own_folder(root: Path, namespace: str, wait_s: float) -> Iterator[Path]:
    """That folder, made when there is none, locked for the length of a `with` block, and removed if it is empty then.

    Only root may look into it. Raises Busy.
    """
    folder = folder_of(root, namespace)
    with ExitStack() as held:
        while True:
            with suppress(FileNotFoundError):  # whoever had it before us may remove it at any moment
                for each in (folder.parent, folder):
                    each.mkdir(mode=0o700, exist_ok=True)
                lock = held.enter_context(ExitStack())
                lock.enter_context(locked(folder, wait_s))
                if folder.is_dir():
                    break
                lock.close()
        try:
            yield folder
        finally:
            prune(folder)


def prune(folder: Path) -> None:
    """Remove a namespace's folder, and the one that has them all, where they are empty. The caller holds the lock."""
    with suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def namespaces(root: Path) -> list[Path]:
    """The folders of all network namespaces that have one."""
    try:
        return sorted(path for path in (root / _OURS).iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


@contextmanager
def locked(folder: Path, wait_s: float) -> Iterator[None]:
    """One at a time, across processes; freed by the kernel when the holder dies. Raises Busy after `wait_s`."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Busy(f"another tidegate holds the lock of {folder} (waited {wait_s:g} s)") from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(fd)


def contents(folder: Path) -> list[str]:
    """What is pinned in it, relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def remove_tree(folder: Path) -> None:
    """Unpins everything in it, links first so that nothing runs on half of its maps. May be repeated."""
    for path in sorted(folder.rglob("*"), key=lambda path: (path.parent.name != "links", str(path))):
        if not path.is_dir():
            path.unlink()
    for path in sorted(folder.rglob("*"), key=lambda path: -len(path.parts)):
        path.rmdir()
    if folder.exists():
        folder.rmdir()
