"""A folder that servers of other users may enter. pytest's own folders are for its user alone, and it sees to that
again whenever a session begins."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def shared_folder(name: str) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix=f"tidegate-{name}-", dir="/tmp"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
