"""Reading YAML: lines are right, limits hold, and whatever stands in a file is either read or told about."""

import re
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.yaml import resolve
from mesh.yaml.nodes import Mapping, Node, Scalar, Sequence, Stream
from mesh.yaml.problems import Problems
from mesh.yaml.trees import documents


def read(text: str) -> tuple[list[Node], list[str]]:
    problems = Problems()
    found = [unstreamed(tree) for tree in documents("f.yaml", text, problems)]
    return found, [str(problem) for problem in problems]


def unstreamed(node: Node) -> Node:
    """With the items of a stream where those of a sequence would be."""
    if isinstance(node, Mapping):
        for key, (line, value) in node.fields.items():
            if isinstance(value, Stream):
                node.fields[key] = (line, Sequence(value.line, list(value.items)))
    return node


def plain(node: Node) -> object:
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return {key: plain(value) for key, (_, value) in node.fields.items()}


keys = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Z")), min_size=1, max_size=8)
# Go, and so Kubernetes, takes 1e3 for a number; the writer used here does not, and leaves the quotes out.
keys = keys.filter(lambda text: not re.fullmatch(r"[-+]?[0-9._]+[eE][-+]?[0-9]+", text))
scalars = st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | keys
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(keys, values, min_size=1, max_size=4), st.booleans())
def test_what_a_yaml_writer_wrote_is_read_back(value: dict[str, object], flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    found, problems = read(text)
    assert problems == []
    assert [plain(node) for node in found] == [value]


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet="abc:-[]{}&*!?|>'\"#%@, \n\t0123", max_size=60))
def test_any_text_is_read_or_told_about(text: str) -> None:
    found, problems = read(text)
    assert all(isinstance(node, Scalar | Sequence | Mapping) for node in found)
    assert all(problem.startswith("f.yaml") for problem in problems)


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet="0123456789_xob+-.eEinfa~TrueyNo", max_size=12))
def test_plain_scalars_never_raise(text: str) -> None:
    assert isinstance(resolve.resolved(text), str | int | float | bool | None)


def test_every_node_knows_its_line() -> None:
    found, _ = read("a: 1\nb:\n- x\n- y: 2\n---\nc: 3\n")
    first, second = found
    assert isinstance(first, Mapping)
    assert isinstance(second, Mapping)
    inside = first.get("b")
    assert isinstance(inside, Sequence)
    assert [first.fields["a"][0], first.fields["b"][0], inside.line, inside.items[1].line] == [1, 2, 3, 4]
    assert second.line == 6


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("a: 1\n\tb: 2\n", 2, "a tab stands in the indentation"),
        ("a: 1\nb: 2\na: 3\n", 3, "stands twice in one mapping, first in line 1"),
        ("b: *x\n", 1, "*x names no anchor"),
        ("a: &x [1, *x]\n", 1, "stands inside what it names"),
        ("a: 1\n<<: {b: 2}\n", 2, "merge keys"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "tag"),
        ("a: 1\n? [b]\n: 2\n", 2, "a key is a plain text"),
        ("a: 'x\n", 1, "not YAML"),
        ("a: 1\nb: \x07\n", 2, "not YAML"),
        ("a: b: c\n", 1, "not YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, part: str) -> None:
    _, problems = read(text)
    assert len(problems) == 1
    assert problems[0].startswith((f"f.yaml:{line}: ", f"f.yaml:{line + 1}: "))
    assert part in problems[0]


def test_documents_before_a_mistake_are_kept() -> None:
    found, problems = read("a: 1\n---\nb: [\n")
    assert [plain(node) for node in found] == [{"a": 1}]
    assert len(problems) == 1


def test_aliases_are_understood_within_their_document() -> None:
    found, problems = read("a: &x {b: [1]}\nc: *x\n---\nd: *x\n")
    assert plain(found[0]) == {"a": {"b": [1]}, "c": {"b": [1]}}
    assert len(problems) == 1


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{" * 100_000, "- " * 100_000, "? " * 100_000, "a: {" * 65, "x" * 1_000_000]
)
def test_depth_is_bounded_and_costs_nothing(text: str) -> None:
    began = time.monotonic()
    read(text)
    assert time.monotonic() - began < 5


def test_a_billion_laughs_are_refused() -> None:
    bomb = "a: &a [" + ",".join(["lol"] * 10) + "]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [" + ",".join([f"*{before}"] * 10) + "]\n"
    began = time.monotonic()
    _, problems = read(bomb)
    assert time.monotonic() - began < 5
    assert len(problems) == 1
    assert "an alias counts what it repeats" in problems[0]


def test_aliases_can_not_build_what_is_too_deep_to_write() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 70))
    _, problems = read(text)
    assert len(problems) == 1
    assert "nested more than" in problems[0]


def test_kubernetes_yaml_is_yaml_1_1() -> None:
    found, _ = read(
        '[yes, "yes", on, 010, 0x10, 0o10, 1_000, 1e3, .5, ~, 2026-01-01, 1.2.3.4, "", -]'.replace(", -", "")
    )
    expected = [True, "yes", True, 8, 16, 8, 1000, 1000.0, 0.5, None, "2026-01-01", "1.2.3.4", ""]
    assert plain(found[0]) == expected


LISTED = "kind: List\nitems:\n- {a: 1}\n- a: [2]\n  b: 3\nafter: x\n"


def test_items_are_built_when_the_walk_comes_to_them() -> None:
    problems = Problems()
    tree = next(documents("f.yaml", LISTED + "items2: [4]\n", problems))
    assert isinstance(tree, Mapping)
    items = tree.get("items")
    assert isinstance(items, Stream)
    assert [plain(item) for item in items.items] == [{"a": 1}, {"a": [2], "b": 3}]
    assert list(items.items) == []
    assert plain(tree.fields["items2"][1]) == [4]
    assert (items.line, tree.fields["items"][0]) == (3, 2)


@pytest.mark.parametrize("walk", [True, False])
def test_mistakes_in_items_are_told_whether_they_are_walked_or_not(walk: bool) -> None:
    problems = Problems()
    for tree in documents("f.yaml", "items:\n- {a: 1, a: 2}\n- b\n---\nc: 1\n", problems):
        if walk:
            unstreamed(tree)
    assert [str(one) for one in problems] == ["f.yaml:2: the key 'a' stands twice in one mapping, first in line 2"]


def test_with_aliases_items_are_no_stream() -> None:
    found, problems = read("x: *a\nitems: [&a 1]\n---\nitems: [&a 1]\nx: *a\n")
    assert (len(problems), found) == (1, [])
    tree = next(documents("f.yaml", "items: [&a 1]\nx: *a\n", Problems()))
    assert isinstance(tree, Mapping)
    assert plain(tree) == {"items": [1], "x": 1}
