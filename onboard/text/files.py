"""Reading a file whole and writing it whole: a reader never sees half of it, and a failed write changes nothing."""

import contextlib
import difflib
import os
import tempfile
from pathlib import Path
from typing import IO

from mesh.yaml import links
from onboard.text.nodes import MAX_BYTES, Source
from onboard.text.problems import ManifestError


def read(name: str, standard_input: IO[bytes]) -> Source:
    """name "-": standard input. Raises ManifestError."""
    shown = "standard input" if name == "-" else name
    try:
        content = standard_input.read(MAX_BYTES + 1) if name == "-" else links.read(Path(name), MAX_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise ManifestError(shown, 0, error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ManifestError(shown, line, "no UTF-8 text") from None
    if len(content) > MAX_BYTES:
        raise ManifestError(shown, 0, f"larger than {MAX_BYTES >> 20} MiB")
    return Source(shown, text)


def write(name: str | None, text: str, standard_output: IO[bytes]) -> None:
    """name None or "-": standard output. A file keeps its mode; a link stays a link. Raises ManifestError."""
    content = text.encode("utf-8")
    if name in (None, "-"):
        standard_output.write(content)
        standard_output.flush()
        return
    target = Path(str(name)).resolve()
    try:
        mode = target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask()
        handle, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), mode)
            os.replace(partial, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise
    except OSError as error:
        raise ManifestError(str(name), 0, f"can't be written: {error.strerror or error}") from None


def difference(source: Source, text: str) -> str:
    """A unified diff with the file's name on both sides, as `patch -p0` takes it."""
    before, after = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
    lines = difflib.unified_diff(before, after, source.file, source.file)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
