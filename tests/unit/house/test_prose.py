"""What a page of the documentation may look like: lines that fit, links that lead somewhere, no machine's own names."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.house.repository import ROOT, lines, tracked

WIDEST = 120
PAGES = [path for path in tracked() if path.suffix == ".md"]
_MACHINES_OWN = re.compile(r"/work/|/root/|artifactory|\.internal\b|pypi\.org|deb\.debian\.org|registry\.npmjs")


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without code blocks and tables, which can't be broken."""
    in_code = False
    for number, line in enumerate(lines(page), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith(("|", "    ")):
            yield number, line


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_lines_fit(page: Path) -> None:
    wide = [f"{page}:{number}: {len(line)}" for number, line in prose(page) if len(line) > WIDEST]
    assert not wide


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_to_files(page: Path) -> None:
    targets = [
        target.partition("#")[0]
        for _, line in prose(page)
        for target in re.findall(r"\]\(([^)\s]+)\)", line)
        if not target.startswith(("http:", "https:", "#"))
    ]
    assert [target for target in targets if not (ROOT / page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_machine_is_named(page: Path) -> None:
    assert [line for line in lines(page) if _MACHINES_OWN.search(line)] == []
