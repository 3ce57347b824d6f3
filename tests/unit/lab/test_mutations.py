"""The mutants that a module has."""

from __future__ import annotations

import pytest

from scripts.testing.mutations import mutants


def made(source: str) -> list[str]:
    return [mutant.source for mutant in mutants(source)]


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("a < b", ["a <= b"]),
        ("a in b", ["a not in b"]),
        ("not a", ["a"]),
        ("a and b", ["b", "a"]),
        ("a or b or c", ["b or c", "a or c", "a or b"]),
        ("x = 1", ["x = 2"]),
        ("x = True", ["x = False"]),
        ("min(a)", ["pass", "max(a)"]),
        ("f(a)", ["pass"]),
        ("x = a if c else b", ["x = a", "x = b"]),
        ("a + b", ["a - b"]),
    ],
)
def test_each_change_is_made(source: str, changed: list[str]) -> None:
    assert made(source) == changed


def test_an_if_is_never_taken() -> None:
    assert made("if a:\n    b\nelse:\n    c") == ["if False:\n    b\nelse:\n    c"]


def test_texts_and_annotations_are_left_alone() -> None:
    source = '"""Says 1."""\n\ndef f(a: Literal[1]) -> Literal[2]:\n    """Says 3."""\n    return a\n'
    assert made(source) == []


def test_the_line_is_told_and_the_rest_stays() -> None:
    (first, second) = mutants("a = 1\nb = 2\n")
    assert (first.line, first.source) == (1, "a = 2\nb = 2")
    assert (second.line, second.source) == (2, "a = 1\nb = 3")
