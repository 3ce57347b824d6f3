"""The wheel: compiled BPF programs and extensions inside, the same bytes each time."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.release import source


class ReleaseError(Exception):
    """What could not be built, with the output of the tool that failed."""


def build(out: Path) -> Path:
    """Writes tidegate-VERSION-….whl into the folder `out` and returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tidegate-wheel-") as folder:
        tree = Path(folder) / "tree"
        source.copy(tree)
        made = Path(folder) / "made"
        run([*pip(), "wheel", "--no-deps", "--no-build-isolation", "-w", str(made), str(tree)], environment(tree))
        (found,) = made.glob("tidegate-*.whl")
        target = out / found.name
        target.write_bytes(found.read_bytes())
        return target


def environment(tree: Path) -> dict[str, str]:
    """Nothing of the machine, the folder or the hour gets into an object: no debug information, no build id."""
    return {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(source.epoch()),
        "PYTHONHASHSEED": "0",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "CFLAGS": f"-g0 -ffile-prefix-map={tree}=. -fstack-protector-strong",
        "LDFLAGS": "-Wl,-s -Wl,--build-id=none -Wl,-z,relro -Wl,-z,now",
    }


def pip() -> list[str]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]


def run(argv: list[str], environ: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What the command printed. Raises ReleaseError."""
    done = subprocess.run(argv, env=environ, cwd=cwd, capture_output=True, text=True, check=False, umask=0o022)
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
