"""Which BPF file system keeps what is pinned when this process, and a container that it may be in, have ended.

A file system lives as long as it is mounted somewhere. It outlives us for certain where the host's process 1 has it
mounted, or where its mount here is tied to one elsewhere (mount propagation).
"""

import ctypes
import errno
import os
import re
from pathlib import Path

from bpf.bpffs import USUAL, NoBpffs, find, mounts_in

_CLONE_NEWNS = 0x20000
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, part of the kernel's interface
_MOUNT = "the host's /sys/fs/bpf has to be mounted here with HostToContainer or Bidirectional propagation"
_HOW = f"{_MOUNT} (docker: -v /sys/fs/bpf:/sys/fs/bpf:rslave)"


def outlives(point: str, here: str, process_1: str | None, *, on_host: bool) -> bool:
    """Whether what is mounted at `point` outlives us. Pure.

    here: the mountinfo that has it. process_1: the mountinfo of process 1, None where it is closed to us. on_host:
    process 1 is the host's own; then a mount that was there before us counts when process 1 can't be asked.
    """
    at_point = [mount for mount in mounts_in(here) if mount.point == point]
    if not at_point:
        return False
    if at_point[-1].tied:
        return True
    if not on_host:
        return False
    return process_1 is None or at_point[-1].device in {mount.device for mount in mounts_in(process_1)}


def on_host() -> bool:
    """Whether process 1, as seen from here, is the host's: it ends with the host only."""
    try:
        return os.readlink("/proc/self/ns/pid") == _INITIAL_PID_NAMESPACE
    except OSError:
        return False


def find_or_mount() -> Path:
    """The mount point of a BPF file system that outlives us.

    Where the host has none, mounts one at the usual place in the mount namespace of process 1, which needs
    CAP_SYS_ADMIN. Raises NoBpffs, PermissionError.
    """
    found = find()
    if found is None and on_host():
        found = _mounted_for_host()
    if found is None:
        raise NoBpffs(
            f"no BPF file system is mounted in this container, and one mounted here would end with it; {_HOW}"
        )
    seen_by, point = _whose(found)
    here = _mountinfo(seen_by) or ""
    if not outlives(point, here, _mountinfo("1"), on_host=on_host()):
        raise NoBpffs(f"the BPF file system at {point} may end with this container or mount namespace; {_HOW}")
    return found


def _whose(found: Path) -> tuple[str, str]:
    """(the process that sees it there, the place as that process names it)."""
    through = re.fullmatch(r"/proc/(\d+)/root(/.*)", str(found))
    return (through[1], through[2]) if through else ("thread-self", str(found))


def _mountinfo(process: str) -> str | None:
    try:
        return Path(f"/proc/{process}/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _mounted_for_host() -> Path | None:
    told = _mount_beside(1)
    if told == errno.EPERM:
        raise PermissionError(told, "mount the BPF file system at /sys/fs/bpf")
    if told == errno.EACCES:
        raise NoBpffs("the BPF file system is not mounted, and process 1, where it has to be, is closed to us; "
                      "run: mount -t bpf bpf /sys/fs/bpf")  # fmt: skip
    if told != 0:
        raise NoBpffs(
            f"the BPF file system is not mounted, and mounting it at /sys/fs/bpf failed: {os.strerror(told)}; "
            "run: mount -t bpf bpf /sys/fs/bpf"
        )
    return find()


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
                b"bpf", os.fsencode(USUAL), b"bpf", 0, b"mode=0700"
            )
            code = ctypes.get_errno() if failed else 0
        except OSError as error:
            code = error.errno or errno.EIO
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
