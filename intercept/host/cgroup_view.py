"""nft looks cgroup paths up under /sys/fs/cgroup. Where cgroup v2 is mounted elsewhere (hybrid layouts), the calling
thread gets a mount namespace of its own with cgroup v2 there, for as long as nft is asked, and then goes back.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intercept.errors import CaptureError, PrivilegeMissing
from intercept.host import cgroups

WHERE_NFT_LOOKS = Path("/sys/fs/cgroup")
_CLONE_NEWNS = 0x00020000
_MS_REC_PRIVATE = 0x4000 | (1 << 18)


@contextmanager
def seen_by_nft() -> Iterator[None]:
    """Within, /sys/fs/cgroup is cgroup v2. Root, working folder and mount namespace are afterwards what they were.

    Raises Unsupported without cgroup v2, PrivilegeMissing without CAP_SYS_ADMIN where a view has to be made.
    """
    # Also when this thread is in such a view already: the same file system can't be mounted twice on one place.
    if cgroups.is_mounted_at(WHERE_NFT_LOOKS):
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check(libc.unshare(_CLONE_NEWNS), "make a private mount namespace")
        try:
            _check(libc.mount(None, b"/", None, _MS_REC_PRIVATE, None), "make its mounts private")
            _check(libc.mount(b"none", bytes(WHERE_NFT_LOOKS), b"cgroup2", 0, None), "mount cgroup v2 for nft")
            yield
        finally:
            _check(libc.setns(here, _CLONE_NEWNS), "return to the own mount namespace")
            # Entering a mount namespace also leads to its root, out of a chroot that we were in.
            os.fchdir(root)
            os.chroot(".")
            os.fchdir(folder)
    finally:
        for fd in (root, folder, here):
            os.close(fd)


def _check(result: int, what: str) -> None:
    if result == 0:
        return
    code = ctypes.get_errno()
    if code in (1, 13):
        raise PrivilegeMissing("CAP_SYS_ADMIN", f"{what}: cgroup v2 is not where nft looks, {WHERE_NFT_LOOKS}")
    raise CaptureError(f"cannot {what}: {os.strerror(code)}")
