"""The BPF file system: where it is, and the folders of ours in it.

`<bpffs>/tidegate/<namespace>/<name>/{maps,links}/…`. A folder is prepared under another name and becomes
visible by one rename. The file system refuses names with dots.
"""

import ctypes
import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_BPF_FS_MAGIC = 0xCAFE4A11
_USUAL = Path("/sys/fs/bpf")
_CLONE_NEWNS = 0x20000
_OURS = "tidegate"
_POLL_S = 0.02


class NoBpffs(Exception):
    """bpffs is not mounted where it would survive us; the message says what to do."""


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


def mount_points(mountinfo: str) -> list[Path]:
    """Where the text of /proc/self/mountinfo has bpf file systems, last mounted last."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if after.split(" ", 1)[0] == "bpf" and len(fields) >= 5:
            found.append(Path(fields[4].encode().decode("unicode_escape")))
    return found


def find() -> Path | None:
    """The usual place if it is one, else another mount, else what a process that outlives us sees there.

    The last because `ip netns exec` hides what is mounted below /sys.
    """
    if is_bpffs(_USUAL):
        return _USUAL
    for point in mount_points(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")):
        if is_bpffs(point):
            return point
    seen = (Path(f"/proc/{process}/root") / _USUAL.relative_to("/") for process in _outliving())
    return next((path for path in seen if is_bpffs(path)), None)


def find_or_mount() -> Path:
    """The mount point. Where there is none, mounts it at the usual place, which needs CAP_SYS_ADMIN.

    It is mounted where process 1 is, or our parent if that is closed to us: in a private mount namespace (of `ip netns
    exec`, say) it would vanish with us, and all that is pinned with it. Raises NoBpffs.
    """
    found = find()
    if found is not None:
        return found
    told = errno.EACCES
    for process in _outliving():
        told = _mount_beside(process)
        if told == 0:
            break
    if told == errno.EPERM:
        raise PermissionError(told, "mount the BPF file system at /sys/fs/bpf")
    found = find()
    if found is None:
        raise NoBpffs(
            f"the BPF file system is not mounted, and mounting it at /sys/fs/bpf failed: {os.strerror(told)}; "
            "mount the host's /sys/fs/bpf here (or: mount -t bpf bpf /sys/fs/bpf)"
        )
    return found


def _outliving() -> tuple[int, ...]:
    return (1, os.getppid())


def _mount_beside(process: int) -> int:
    """In the mount namespace of `process`; by a forked child, since threads forbid changing it. 0 or an errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    child = os.fork()
    if child == 0:
        code = errno.EIO
        try:
            target = os.open(f"/proc/{process}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            same = os.path.samestat(os.fstat(target), os.stat("/proc/self/ns/mnt"))
            failed = (0 if same else libc.setns(target, _CLONE_NEWNS)) or libc.mount(
                b"bpf", os.fsencode(_USUAL), b"bpf", 0, b"mode=0700"
            )
            code = ctypes.get_errno() if failed else 0
        except OSError as error:
            code = error.errno or errno.EIO
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


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
