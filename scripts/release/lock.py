"""Writes `bundled.lock`: the versions that this work tree was tested with, and the hashes of their files."""

import hashlib
import tempfile
from importlib.metadata import version
from pathlib import Path

from scripts.release.bundle import LOCK, SDIST_ONLY, platform_flags
from scripts.release.suites import SUITES, bundled
from scripts.release.wheel import pip, run

_HEAD = """\
# What the packages bundle, pinned to the bytes. Written by `python -m scripts.release lock` from the versions in .venv.
"""


def write() -> list[str]:
    """The names that are pinned now."""
    names = sorted({name for suite in SUITES.values() for name in bundled(suite)}, key=str.lower)
    lines = [_HEAD]
    for name in names:
        pin = f"{name}=={version(name)}"
        with tempfile.TemporaryDirectory(prefix="tidegate-lock-") as folder:
            hashes = sorted({hashlib.sha256(file.read_bytes()).hexdigest() for file in _files(name, pin, Path(folder))})
        lines.append(" \\\n    ".join([pin, *(f"--hash=sha256:{one}" for one in hashes)]) + "\n")
    LOCK.write_text("".join(lines), encoding="utf-8")
    return names


def _files(name: str, pin: str, holder: Path) -> list[Path]:
    found: list[Path] = []
    if name in SDIST_ONLY:
        run([*pip(), "download", "--no-deps", "--no-binary=:all:", "--no-build-isolation", "-d", str(holder), pin])
        return list(holder.iterdir())
    for suite in SUITES.values():
        if name not in bundled(suite):
            continue
        folder = holder / suite.name
        run([*pip(), "download", "--no-deps", "--only-binary=:all:", *platform_flags(suite), "-d", str(folder), pin])
        found += folder.iterdir()
    return found
