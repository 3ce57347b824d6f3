"""Symbolic links of other users. Through them this process must not read, and quote in a message, what those users may
not read themselves."""

import errno
import os
import stat
from pathlib import Path

MAX_LINKS = 40
_READ, _SEARCH = 4, 1


def refusal(path: Path, opened: os.stat_result) -> str:
    """Why the file that was opened by this path is not to be read; empty: it may be. A link that belongs to another
    user than root and this process's must lead to what that user may read. opened: the file's own stat, so that a link
    that is exchanged meanwhile is noticed. Raises OSError."""
    trusted = {0, os.geteuid()}
    owners: set[int] = set()
    about = os.stat("/")
    at, ahead, links = "/", list(reversed(path.absolute().parts[1:])), 0
    while ahead:
        name = ahead.pop()
        if name == "..":
            at = os.path.dirname(at)
        if name in ("", ".", ".."):
            continue
        step = os.path.join(at, name)
        about = os.lstat(step)
        if not stat.S_ISLNK(about.st_mode):
            at = step
            for owner in owners:
                if not may(about, owner):
                    return f"is reached by a symbolic link of uid {owner}, which has no right to read {step}"
            continue
        links += 1
        if links > MAX_LINKS:
            return "is reached by too many symbolic links"
        if about.st_uid not in trusted:
            owners.add(about.st_uid)
        target = os.readlink(step)
        at = "/" if target.startswith("/") else at
        ahead += reversed(target.split("/"))
    about = os.stat(at)
    return "" if (about.st_dev, about.st_ino) == (opened.st_dev, opened.st_ino) else "was exchanged while it was opened"


def read(path: Path, most: int) -> bytes:
    """At most so many bytes of a file that the caller names. Raises OSError, also for a file that is not to be read."""
    with path.open("rb") as file:
        opened = os.fstat(file.fileno())
        why = refusal(path, opened) if stat.S_ISREG(opened.st_mode) else ""  # a pipe of the caller's has no path
        if why:
            raise PermissionError(errno.EACCES, f"it {why}")
        return file.read(most)


def may(about: os.stat_result, uid: int) -> bool:
    """Whether a user may read this file, or look things up in this folder. Groups don't count: their members are not
    known here."""
    wanted = _SEARCH if stat.S_ISDIR(about.st_mode) else _READ
    shift = 6 if about.st_uid == uid else 0
    return bool(about.st_mode >> shift & wanted)
