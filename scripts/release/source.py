"""A clean copy of what git tracks, and the moment that a build is dated with."""

import os
import shutil
import subprocess
from pathlib import Path

from scripts.release.suites import ROOT


def epoch() -> int:
    """SOURCE_DATE_EPOCH if it is set, else the time of the commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        return int(given)
    asked = ["git", "-c", f"safe.directory={ROOT}", "log", "-1", "--format=%ct"]
    return int(subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def copy(target: Path) -> None:
    """Tracked files as they are in the work tree, and nothing else: no object of an earlier build gets in."""
    asked = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)
            place.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
