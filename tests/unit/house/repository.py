"""The files that git keeps, as the tests of this folder see them."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("tidegate", "dashboard", "onboard", "mesh", "intercept", "bpf", "proxy", "cext")
SOURCE = (".py", ".c", ".h")


@cache
def tracked() -> tuple[Path, ...]:
    """Paths relative to the repository's root, without files that are deleted in the work tree."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for line in listed.splitlines() if (ROOT / (path := Path(line))).is_file())


def sources(*, tests: bool) -> list[Path]:
    """Source files of ours, without the folders of `FOREIGN`. tests: also those of tests and bench."""
    return [
        path
        for path in tracked()
        if path.suffix in SOURCE
        and (tests or path.parts[0] in ROOMS)
        and not any(part in FOREIGN for part in path.parts)
    ]


FOREIGN = ("llhttp", "kernel")
"""cext/engine/http/llhttp is a packaged source; bpf/trace/kernel stands in for kernel headers."""


def lines(path: Path) -> list[str]:
    return (ROOT / path).read_text(encoding="utf-8").splitlines()
