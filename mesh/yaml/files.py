"""Files and folders -> texts, and whether any of them has changed since."""

import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from mesh.yaml import links
from mesh.yaml.problems import Place, Problems

MAX_FILE = 16 << 20
MAX_TOTAL = 64 << 20
MAX_FILES = 10_000
SUFFIXES = (".yaml", ".yml", ".json")

Fingerprint = tuple[tuple[object, ...], ...]
Stamp = tuple[int, int, int, int, int]

_FRESH_NS = 100_000_000
"""The kernel's clock for files moves on every few milliseconds, that of network file systems more slowly."""


def expand(paths: Iterable[str], problems: Problems) -> list[Path]:
    """The files that are meant, in the order given; a folder stands for its own files with one of SUFFIXES, by name.

    Hidden entries are passed over: a mounted ConfigMap is a folder of links to files below a hidden folder.
    """
    found: dict[Path, None] = {}
    for text in paths:
        path = Path(text)
        try:
            if path.is_dir():
                inside = sorted(one for one in path.iterdir() if not one.name.startswith("."))
                files = [one for one in inside if one.suffix in SUFFIXES and not one.is_dir()]
                for folder in (one for one in inside if one.is_dir()):
                    problems.warning(Place(str(folder), 0), "folders inside a folder are not read: name it by itself")
                if not files:
                    problems.warning(Place(text, 0), f"there is no file in this folder that ends in {_suffixes()}")
                found.update(dict.fromkeys(files))
            else:
                found[path] = None
        except OSError as failed:
            problems.error(Place(text, 0), _cannot_read(failed))
    if len(found) > MAX_FILES:
        problems.error(Place(str(list(found)[MAX_FILES]), 0), f"there are more than {MAX_FILES} files")
        return []
    return list(found)


def read(path: Path, room: int, problems: Problems) -> str | None:
    """A file's text, or None with the problem noted. room: how many bytes may still be read in this run."""
    place = Place(str(path), 0)
    allowed = min(MAX_FILE, room)
    try:
        # Not blocking: a pipe that has no writer must not hang a check.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            about = os.fstat(opened.fileno())
            if not stat.S_ISREG(about.st_mode):
                problems.error(place, "this is neither a file nor a folder")
                return None
            refusal = links.refusal(path, about)
            if refusal:
                problems.error(place, refusal)
                return None
            data = opened.read(allowed + 1)
    except OSError as failed:
        problems.error(place, _cannot_read(failed))
        return None
    if len(data) > allowed:
        limit = f"a file has at most {MAX_FILE >> 20} MiB" if allowed == MAX_FILE else f"all have {MAX_TOTAL >> 20} MiB"
        problems.error(place, f"the file is too big: {limit}")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        problems.error(Place(str(path), line), f"byte 0x{data[wrong.start]:02x} is not valid: the text has to be UTF-8")
        return None


def may_read(path: Path) -> bool:
    """Whether this process has the right to read the file. It is asked also when the content is known: the right may
    have gone since."""
    return os.access(path, os.R_OK, effective_ids=True)


def try_to_open(path: Path, problems: Problems) -> None:
    """Note whether this process may read the file."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as failed:
        problems.error(Place(str(path), 0), _cannot_read(failed))


def stamp(path: Path) -> Stamp | None:
    """Equal as long as the file has not changed: its identity, size and times. Follows links, so that the atomic swap
    of a mounted ConfigMap is a change. None: not to be trusted, as the file can't be looked at, or changed so recently
    that it may change again without its times moving on."""
    try:
        about = path.stat()
    except OSError:
        return None
    if time.time_ns() - max(about.st_mtime_ns, about.st_ctime_ns) < _FRESH_NS:
        return None
    return _stamp_of(about)


def fingerprint(paths: Iterable[str]) -> Fingerprint:
    """Equal as long as nothing has changed: the names and stamps of every file that would be read."""
    found: list[tuple[object, ...]] = []
    for path in expand(paths, Problems()):
        try:
            found.append((str(path), *_stamp_of(path.stat())))
        except OSError as failed:
            found.append((str(path), failed.errno))
    return tuple(found)


def _stamp_of(about: os.stat_result) -> Stamp:
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def folders(paths: Iterable[str]) -> set[str]:
    """The folders in which a change of these files and folders shows."""
    return {path if os.path.isdir(path) else os.path.dirname(path) or "." for path in paths}


def _cannot_read(failed: OSError) -> str:
    if isinstance(failed, PermissionError):
        uid, gid = os.geteuid(), os.getegid()
        return f"can't be read by uid {uid}, gid {gid}: give them the right to read it and to enter its folders"
    return f"can't be read: {failed.strerror}"


def _suffixes() -> str:
    return ", ".join(SUFFIXES[:-1]) + " or " + SUFFIXES[-1]
