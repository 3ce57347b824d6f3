"""Pieces, packed into one archive of which other users see nothing."""

import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tidegate.support import redact
from tidegate.support.pieces import Piece

MOST_BYTES = 32 * 1024 * 1024
"""Of one piece; what is beyond is left out, which the manifest says."""


class Packed(NamedTuple):
    kept: tuple[str, ...]
    missing: dict[str, str]
    """Names of pieces that could not be had, and why."""


def pack(pieces: Iterable[Piece], folder: str, moment: float) -> tuple[bytes, Packed]:
    """The archive. folder: what all of it unpacks into."""
    kept: dict[str, bytes] = {}
    missing: dict[str, str] = {}
    for one in pieces:
        try:
            made = one.make().encode("utf-8", "backslashreplace")
        except Exception as failed:  # whatever is wrong with one piece, the others are wanted
            missing[one.name] = redact.log(" ".join(str(failed).split())) or type(failed).__name__
            continue
        if len(made) > MOST_BYTES:
            missing[one.name] = f"the part beyond {MOST_BYTES} bytes"
        kept[one.name] = made[:MOST_BYTES]
    manifest = {
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)),
        "pieces": sorted(kept),
        "missing": missing,
        "left_out": "header values, queries of paths, credentials, and all payload",
    }
    kept["manifest.json"] = json.dumps(manifest, indent=1).encode() + b"\n"
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name in sorted(kept):
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mode, info.mtime = len(kept[name]), 0o600, int(moment)
            archive.addfile(info, io.BytesIO(kept[name]))
    return data.getvalue(), Packed(tuple(sorted(kept)), missing)


def write(path: Path, data: bytes) -> None:
    """Whole or not at all, readable by its owner only. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
