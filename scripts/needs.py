"""What a build from source needs and this host lacks. Called by setup.py; a wheel or a package needs none of it."""

import os
import shlex
import shutil
import subprocess
from typing import NamedTuple


class Need(NamedTuple):
    """header "": the command itself is what is needed."""

    command: str
    header: str
    what_for: str
    package: str


NEEDS = (
    Need("cc", "", "the C compiler makes the engine", "gcc libc6-dev"),
    Need("clang", "", "clang compiles the BPF programs", "clang"),
    Need("cc", "Python.h", "the engine is an extension of Python", "python3-dev"),
    Need("cc", "bpf/libbpf.h", "libbpf loads the BPF programs", "libbpf-dev"),
    Need("cc", "yaml.h", "libyaml reads the configuration", "libyaml-dev"),
    Need("clang", "linux/bpf.h", "the BPF programs speak of the kernel's types", "linux-libc-dev"),
)


def missing(needs: tuple[Need, ...] = NEEDS) -> list[Need]:
    """In the order of the table. A header counts as missing only when its compiler is there to be asked."""
    found: list[Need] = []
    for need in needs:
        compiler = _compiler(need.command)
        if need.header == "":
            if compiler is None:
                found.append(need)
        elif compiler is not None and not _has_header(compiler, need.header):
            found.append(need)
    return found


def explain(lacking: list[Need]) -> str:
    lines = ["tidegate can't be built from source on this host:"]
    for need in lacking:
        thing = f"the header <{need.header}>" if need.header else f"the command {need.command}"
        lines.append(f"  {thing} is missing: {need.what_for}")
    packages = " ".join(dict.fromkeys(need.package for need in lacking))
    lines += [
        f"Install it (Debian, Ubuntu: apt install {packages}) and try again,",
        "or take the wheel or the package, which need no compiler (README.md, Install).",
    ]
    return "\n".join(lines)


def check() -> None:
    """Ends the build with one message that names everything that is missing."""
    lacking = missing()
    if lacking:
        raise SystemExit(explain(lacking))


def _compiler(command: str) -> list[str] | None:
    argv = shlex.split(os.environ.get("CC", command)) if command == "cc" else [command]
    return argv if shutil.which(argv[0]) else None


def _has_header(compiler: list[str], header: str) -> bool:
    import sysconfig

    argv = [*compiler, "-E", "-x", "c", "-", "-o", os.devnull, "-I", sysconfig.get_path("include")]
    asked = f"#include <{header}>\n"
    return subprocess.run(argv, input=asked, text=True, capture_output=True, check=False).returncode == 0
