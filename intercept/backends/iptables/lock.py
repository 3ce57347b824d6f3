"""The lock that iptables-legacy takes around its changes. libiptc doesn't take it: who uses libiptc has to."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from intercept.errors import CaptureError

_DEFAULT = "/run/xtables.lock"
_POLL_S = 0.02


def lock_path() -> str:
    return os.environ.get("XTABLES_LOCKFILE") or _DEFAULT


@contextmanager
def locked(wait_s: float) -> Iterator[None]:
    """Held while tables are read and committed. Raises CaptureError, naming the lock, after `wait_s` seconds.

    Where the file can't be made (a read-only root) no other tool can hold it either: then the lock that all of tidegate
    holds while it changes capture is enough.
    """
    path = lock_path()
    try:
        fd = os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR):
            yield
            return
        raise CaptureError(f"cannot open the xtables lock {path}: {error.strerror}") from None
    try:
        _acquire(fd, path, wait_s)
        yield
    finally:
        os.close(fd)


def _acquire(fd: int, path: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise CaptureError(
                    f"another program has held the xtables lock {path} for {wait_s:g} s; nothing was changed; "
                    "wait longer with --wait"
                ) from None
            time.sleep(_POLL_S)
        else:
            return
