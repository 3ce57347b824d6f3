"""The kernel's notice that something in a folder has changed (inotify). Only a hint: who hears it looks for himself."""

import ctypes
import os
from collections.abc import Iterable

_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK
_CHANGES = 0x00000008 | 0x00000040 | 0x00000080 | 0x00000100 | 0x00000200 | 0x00000400 | 0x00000004
"""IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ATTRIB."""

_libc = ctypes.CDLL(None, use_errno=True)


class FileWatch:
    """Owns an inotify descriptor; `fd` is readable when something has happened. -1: the kernel gave none."""

    def __init__(self, folders: Iterable[str]) -> None:
        self.fd: int = _libc.inotify_init1(_CLOEXEC_NONBLOCK)
        self.unwatched: list[str] = []
        """Folders that could not be watched, with the reason."""
        for folder in sorted(folders):
            if self.fd < 0 or _libc.inotify_add_watch(self.fd, os.fsencode(folder), _CHANGES) < 0:
                self.unwatched.append(f"{folder}: {os.strerror(ctypes.get_errno())}")

    def forget(self) -> None:
        """Take in what has been told, so that the descriptor is quiet until something else happens."""
        try:
            while os.read(self.fd, 1 << 16):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
