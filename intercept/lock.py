"""One change of capture at a time in a network namespace. No file: works on a read-only root, dies with its holder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from intercept.errors import CaptureError

_POLL_S = 0.01


@contextmanager
def changing_capture(wait_s: float) -> Iterator[None]:
    """Held while capture of the thread's network namespace is changed. Raises CaptureError after `wait_s` seconds.

    The lock is an flock on the namespace's own file, of which there is one inode a namespace.
    """
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise CaptureError(
                        "another tidegate command has been changing capture in this network namespace for "
                        f"{wait_s:g} s (lock on /proc/self/ns/net); wait longer with --wait"
                    ) from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(fd)
