"""Entering another network namespace for the rest of this process's life."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intercept.errors import BadInput, CaptureError, PrivilegeMissing

NAMED = Path("/run/netns")
# Python 3.11 has neither os.setns nor the flag.
CLONE_NEWNET = 0x40000000


@contextmanager
def inside(name_or_path: str | None) -> Iterator[None]:
    """This thread is in that namespace for as long as the block lasts: sockets made there stay in it. Raises as
    `enter` does."""
    if name_or_path is None:
        yield
        return
    own = Path("/proc/thread-self/ns/net")
    back = os.open(own, os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(name_or_path)
        yield
    finally:
        _setns(back, own)
        os.close(back)


def enter(name_or_path: str | None) -> None:
    """Move this thread (call it while it is the only one) into a namespace given as `--netns`; None stays here.

    Raises BadInput when there is no such namespace, PrivilegeMissing without CAP_SYS_ADMIN. `ip netns exec` would
    also remount /sys and so hide bpffs and cgroups: this changes the network namespace and nothing else.
    """
    if name_or_path is None:
        return
    path = Path(name_or_path) if "/" in name_or_path else NAMED / name_or_path
    if not name_or_path or name_or_path in (".", ".."):
        raise BadInput("--netns", name_or_path, "a name from `ip netns list` or a path such as /proc/PID/ns/net")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise PrivilegeMissing("CAP_SYS_PTRACE", f"open {path}") from None
    except OSError as error:
        raise BadInput("--netns", name_or_path, f"a network namespace ({path}: {error.strerror})") from None
    try:
        _setns(fd, path)
    finally:
        os.close(fd)


def _setns(fd: int, path: Path) -> None:
    import ctypes
    import errno

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET) == 0:
        return
    code = ctypes.get_errno()
    if code == errno.EPERM:
        raise PrivilegeMissing("CAP_SYS_ADMIN", f"enter the network namespace {path}")
    if code == errno.EINVAL:
        raise BadInput("--netns", str(path), "a network namespace; this is another kind of file")
    raise CaptureError(f"cannot enter the network namespace {path}: {os.strerror(code)}")
