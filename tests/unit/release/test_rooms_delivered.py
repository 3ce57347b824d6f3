"""Each package of the tree is in the wheel, is checked, and is compiled ahead: a new one that somebody forgot fails."""

import tomllib
from pathlib import Path, PurePath
from typing import Any

from scripts.release.rooms import data, delivered
from tests.unit.house.repository import ROOMS, ROOT, tracked

FOR_DEVELOPERS = {"tests", "bench", "demo", "scripts"}
SOURCES = {".py", ".pyi", ".c", ".h", ".md"}
"""What is compiled, or for readers of the repository."""
BUILT_FROM = {
    PurePath("cext/.gitignore"),
    PurePath("cext/engine/http/llhttp/LICENSE"),
    PurePath("cext/engine/http/llhttp/SHA256SUMS"),
}


def settings() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]


def in_the_tree() -> set[str]:
    return {path.parts[0] for path in tracked() if len(path.parts) > 1 and path.suffix == ".py"} - FOR_DEVELOPERS


def test_every_package_of_the_tree_is_delivered_and_looked_at() -> None:
    tree = in_the_tree()
    assert {"tidegate", "proxy", "cext"} <= tree
    assert set(delivered()) == tree
    assert set(settings()["importlinter"]["root_packages"]) == tree
    assert tree <= set(settings()["mypy"]["packages"])
    assert set(ROOMS) == tree


def test_every_package_is_compiled_before_it_runs_without_the_right_to() -> None:
    (line,) = [one for one in (ROOT / "scripts/setup").read_text().splitlines() if "-m compileall" in one]
    assert set(line.partition("-q ")[2].split()) == in_the_tree()


def test_every_file_that_a_package_reads_is_delivered_with_it() -> None:
    tree, patterns = in_the_tree(), data()
    others = [path for path in tracked() if path.parts[0] in tree and path.suffix not in SOURCES]
    forgotten = [
        str(path)
        for path in others
        if PurePath(path) not in BUILT_FROM
        and not any(Path(*path.parts[1:]).match(pattern) for pattern in patterns.get(path.parts[0], ()))
    ]
    assert others
    assert forgotten == []
