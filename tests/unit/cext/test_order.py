"""The engine's files stand in an order: no header includes itself by a detour, and no file's functions call back into a
file that calls them. A file that would close a circle fails here, with the circle."""

import re
import subprocess
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from cext.engine.build import FLAGS

ENGINE = Path(__file__).resolve().parents[3] / "cext" / "engine"
WITHOUT_HEADER = {f"tell/{name}.c" for name in ("collect", "counters", "gather", "live")}
WITHOUT_HEADER |= {f"{room}/put.c" for room in ("balance", "decide", "route")}
"""They implement parts of engine.h."""
PACKAGED = {"http/llhttp_api.c", "http/llhttp_states.c"}


def sources() -> list[Path]:
    found = [path for path in sorted(ENGINE.rglob("*.c")) if "llhttp" not in path.relative_to(ENGINE).parts]
    return [path for path in found if not path.name.startswith("_")]


def circle(needs: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def included(path: Path) -> set[str]:
    return set(re.findall(r'^#include "([\w/]+\.h)"', path.read_text(), re.MULTILINE))


def defined_and_called(object_file: Path) -> tuple[set[str], set[str]]:
    listed = subprocess.run(["nm", "-P", str(object_file)], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[:2] for line in listed.splitlines()]
    return {name for name, kind in symbols if kind in "TDBR"}, {name for name, kind in symbols if kind == "U"}


def calls(folder: Path) -> dict[str, set[str]]:
    """Which file's functions each file calls."""
    tables = {}
    for path in sources():
        name = str(path.relative_to(ENGINE))
        target = folder / (name.replace("/", "-") + ".o")
        subprocess.run(["cc", *FLAGS, "-O0", f"-I{ENGINE}", "-c", str(path), "-o", str(target)], check=True)
        tables[name] = defined_and_called(target)
    owners = {symbol: name for name, (defined, _) in tables.items() for symbol in defined}
    return {
        name: {owners[symbol] for symbol in called if owners.get(symbol, name) != name}
        for name, (_, called) in tables.items()
    }


def test_no_header_is_in_a_circle() -> None:
    headers = [path for path in ENGINE.rglob("*.h") if "llhttp" not in path.relative_to(ENGINE).parts]
    needs = {str(path.relative_to(ENGINE)): included(path) for path in headers}
    assert len(needs) > 20
    assert circle(needs) == []


def test_no_two_files_call_each_other_by_any_way(tmp_path: Path) -> None:
    needs = calls(tmp_path)
    assert needs["loop.c"] >= {"relay/drive.c", "accept/accept.c"}, "the symbols are not seen"
    del needs["http/llhttp_api.c"], needs["http/llhttp_states.c"]  # the parser's two halves call each other
    assert circle(needs) == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ENGINE)))
def test_each_file_includes_its_own_header_first(path: Path) -> None:
    name = str(path.relative_to(ENGINE))
    if name in PACKAGED:
        assert not path.with_suffix(".h").exists()
        return
    own = "engine.h" if name in WITHOUT_HEADER else name.removesuffix(".c") + ".h"
    first = next(iter(re.findall(r'^#include "([\w/]+\.h)"', path.read_text(), re.MULTILINE)))
    assert own in included(path)
    assert first == own or name in WITHOUT_HEADER


def test_a_circle_is_found() -> None:
    assert circle({"a.c": {"b.c"}, "b.c": {"c.c"}, "c.c": {"a.c"}}) != []
