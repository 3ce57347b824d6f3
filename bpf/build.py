"""Compiles bpf/hooks/*.bpf.c to bpf/objects/*.bpf.o. `python -m bpf.build`; does nothing when the objects are fresh.

Called by the build (setup.py) and by `make setup`; never at run time: the host that runs tidegate needs no compiler.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HOOKS = HERE / "hooks"
INCLUDE = HERE / "include"
OBJECTS = HERE / "objects"
FLAGS = [
    "-target",
    "bpf",
    "-mcpu=v3",  # understood since 5.1
    "-O2",
    "-g",  # BTF: socket storage needs to know its maps' types
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fno-ident",
    "-fdebug-compilation-dir=.",  # with relative names below: the same bytes wherever the tree is
]


class BuildFailed(Exception):
    """clang is missing or refused a program; the message has its output."""


def build(clang: str = "clang", *, force: bool = False) -> list[Path]:
    """Returns the objects that were made anew."""
    OBJECTS.mkdir(exist_ok=True)
    shared = [path.stat().st_mtime for path in [*INCLUDE.rglob("*.h"), Path(__file__)]]
    made = []
    for source in sorted(HOOKS.glob("*.bpf.c")):
        target = OBJECTS / (source.name.removesuffix(".c") + ".o")
        if not force and target.exists() and target.stat().st_mtime > max(*shared, source.stat().st_mtime):
            continue
        _compile(clang, source, target)
        made.append(target)
    return made


def _compile(clang: str, source: Path, target: Path) -> None:
    # A target of its own and a rename: two builds at once, or a build that is killed, never leave half an object.
    partial = target.with_suffix(f".{os.getpid()}.partial")
    # Debian keeps <asm/types.h> in a folder per architecture, which -target bpf doesn't search.
    include = ["-I", str(INCLUDE.relative_to(ROOT)), "-I", f"/usr/include/{platform.machine()}-linux-gnu"]
    command = [clang, *FLAGS, *include, "-c", str(source.relative_to(ROOT)), "-o", str(partial)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildFailed(f"{source.name}: {clang} failed:\n{done.stderr}")
        partial.replace(target)
    except FileNotFoundError as error:
        raise BuildFailed(f"{clang} is not installed: the BPF programs can't be compiled") from error
    finally:
        partial.unlink(missing_ok=True)


def main() -> int:
    try:
        made = build(force="--force" in sys.argv[1:])
    except BuildFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"bpf: {len(made)} of {len(list(HOOKS.glob('*.bpf.c')))} programs compiled\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
