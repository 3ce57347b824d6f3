"""The layout that docs/ARCHITECTURE.md promises: small files, small folders, and a page for each package."""

import ast
import re
import statistics
from collections import Counter

import pytest

from tests.unit.house.repository import ROOMS, ROOT, lines, sources, tracked

LONGEST_FILE = 350
MEDIAN_FILE = 120
MOST_FILES = 24


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    too_long = {str(path): length for path in sources(tests=True) if (length := len(lines(path))) > LONGEST_FILE}
    assert not too_long


def test_half_of_the_files_are_short() -> None:
    # Empty `__init__.py` files and one-line package pages would make any median small.
    sizes = [length for path in sources(tests=False) if (length := len(lines(path))) > 10]
    assert statistics.median(sizes) < MEDIAN_FILE


def test_no_folder_is_a_heap() -> None:
    counted = Counter(
        str(path.parent) for path in tracked() if path.name != "__init__.py" and "corpus" not in path.parts
    )
    assert {folder: count for folder, count in counted.items() if count > MOST_FILES} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_each_package_says_what_lives_there(room: str) -> None:
    packages = [path for path in tracked() if path.parts[0] == room and path.name == "__init__.py"]
    assert packages
    silent = [
        str(path.parent) for path in packages if not ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8")))
    ]
    assert not silent


def test_the_table_of_places_names_places_that_are_there() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = page.partition("## Where to change what")[2].partition("\n## ")[0]
    named = [word for word in re.findall(r"`([\w./<>-]+/[\w.]*)`", table) if "<" not in word]
    assert len(named) > 30
    assert [word for word in named if not (ROOT / word).exists()] == []
