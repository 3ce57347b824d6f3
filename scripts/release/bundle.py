"""Python packages that a suite lacks: fetched as `bundled.lock` pins them, by hash, and put into a folder."""

import platform
import re
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from scripts.release.suites import ROOT, Suite
from scripts.release.wheel import ReleaseError, environment, pip, run

LOCK = Path(__file__).with_name("bundled.lock")
CACHE = ROOT / "build" / "bundled"
SDIST_ONLY = ("python-iptables",)
"""Compiled here: the project publishes no wheel. Its library knows nothing of Python, so one build serves all."""


def pinned() -> dict[str, str]:
    """Name -> its lines of the lock file, as pip reads them."""
    text = LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {re.split(r"==", line)[0]: line for line in lines}


def fetch(suite: Suite, names: Iterable[str]) -> list[Path]:
    """The wheels, in the order of their names."""
    lock, folder = pinned(), CACHE / suite.name
    folder.mkdir(parents=True, exist_ok=True)
    names = list(names)
    unknown = [name for name in names if name not in lock]
    if unknown:
        raise ReleaseError(f"{LOCK.name} does not pin {', '.join(unknown)}: run python -m scripts.release lock")
    wanted = [name for name in names if name not in SDIST_ONLY]
    with tempfile.TemporaryDirectory(prefix="tidegate-bundle-") as scratch:
        listed = Path(scratch) / "wanted.txt"
        listed.write_text("".join(lock[name] + "\n" for name in wanted), encoding="utf-8")
        fresh = Path(scratch) / "fresh"
        fetching = [*pip(), "download", "--no-deps", "--require-hashes", "--only-binary=:all:", *platform_flags(suite)]
        run([*fetching, "--find-links", str(folder), "-d", str(fresh), "-r", str(listed)])
        found = sorted(fresh.iterdir())
        found += [_compiled(name, lock[name], fresh, Path(scratch)) for name in names if name in SDIST_ONLY]
        kept = []
        for wheel in found:
            target = folder / wheel.name
            target.write_bytes(wheel.read_bytes())
            kept.append(target)
    return sorted(kept, key=lambda path: path.name.lower())


def _compiled(name: str, line: str, fresh: Path, scratch: Path) -> Path:
    listed = scratch / f"{name}.txt"
    listed.write_text(line + "\n", encoding="utf-8")
    sources, tree = scratch / f"{name}.source", scratch / f"{name}.tree"
    fetching = [*pip(), "download", "--no-deps", "--require-hashes", "--no-binary=:all:", "--no-build-isolation"]
    run([*fetching, "-d", str(sources), "-r", str(listed)])
    (archive,) = sources.iterdir()
    tree.mkdir()
    run(["tar", "-xf", str(archive), "-C", str(tree), "--strip-components=1"])
    made = scratch / f"{name}.made"
    run([*pip(), "wheel", "--no-deps", "--no-build-isolation", "-w", str(made), str(tree)], environment(tree))
    (wheel,) = made.iterdir()
    return wheel.rename(fresh / wheel.name)


def unpack(wheels: Iterable[Path], site: Path, suite: Suite, *, trim: bool) -> None:
    """What pip would install, but for scripts and byte code. trim: without what nothing reads at run time."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                target = site / _placed(member.filename, suite)
                if member.is_dir() or (trim and _is_ballast(Path(member.filename))):
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.read(member)
                if trim and target.suffix == ".py" and content.startswith(b"#!"):
                    content = content[content.index(b"\n") :]  # modules are no programs; lines keep their numbers
                target.write_bytes(content)
                target.chmod(0o644)


def _placed(name: str, suite: Suite) -> str:
    """A library that was compiled for this Python's file names is found under the suite's."""
    if "libxtwrapper" in name:
        machine = platform.machine()
        return f"libxtwrapper.cpython-{suite.python_tag[2:]}-{machine}-linux-gnu.so"
    return name


def _is_ballast(path: Path) -> bool:
    """Sources of what is compiled, types for checkers, and tests."""
    return path.suffix in (".pyx", ".pxd", ".pyi", ".c", ".h", ".typed") or "tests" in path.parts


def platform_flags(suite: Suite) -> list[str]:
    """By which pip takes wheels for the suite's Python and C library instead of those for its own."""
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(suite.glibc[1], 4, -1)]
    tags += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}"]
    flags = ["--python-version", suite.python, "--implementation", "cp", "--abi", suite.python_tag, "--abi", "abi3"]
    return flags + ["--abi", "none"] + [part for tag in tags for part in ("--platform", tag)]
