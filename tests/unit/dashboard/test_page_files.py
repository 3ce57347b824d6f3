"""The page's files: nothing of another host, nothing that parses a text as markup or runs it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from dashboard.guard import POLICY
from tests.unit.house.repository import ROOT

FOLDER = ROOT / "dashboard" / "page"
SCRIPTS = sorted(FOLDER.glob("*.js"))
PARSES = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|createContextualFragment|DOMParser"
    r"|setHTML|srcdoc|setTimeout\(\s*[\"'`]|\.style\b"
)
ELSEWHERE = re.compile(r"https?://(?!www\.w3\.org/2000/svg)|//cdn|@import|url\(")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda one: one.name)
def test_texts_are_never_parsed(script: object) -> None:
    assert PARSES.findall((FOLDER / str(script)).read_text()) == []


@pytest.mark.parametrize("file", sorted(FOLDER.iterdir()), ids=lambda one: one.name)
def test_nothing_is_fetched_from_another_host(file: object) -> None:
    assert ELSEWHERE.findall((FOLDER / str(file)).read_text()) == []


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_markup_needs_no_exception_from_the_policy() -> None:
    page = _Elements()
    page.feed((FOLDER / "index.html").read_text())
    for tag, attributes in page.found:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        assert tag != "style"
        assert tag != "script" or attributes.get("src") in {one.name for one in SCRIPTS}
    assert "unsafe" not in POLICY


def test_what_a_screen_reader_needs_is_there() -> None:
    page = _Elements()
    page.feed((FOLDER / "index.html").read_text())
    found = page.found
    named = {attributes["id"] for _, attributes in found if "id" in attributes}
    assert ("html", {"lang": "en"}) in found
    for tag, attributes in found:
        if tag in ("section", "dialog", "svg"):
            assert attributes["aria-labelledby"] in named
    tags = [tag for tag, _ in found]
    assert tags.count("table") == tags.count("caption")
    assert any(attributes.get("role") == "status" for _, attributes in found)
