"""YAML text -> trees of nodes that remember their lines. PyYAML's events are used, not its nodes and objects: the
events of libyaml come a document at a time without recursion and several times faster, and depth, size, aliases and
duplicate keys are judged here, while the tree grows."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from mesh.yaml.problems import Place, Problems, shown

MAX_DEPTH = 64
MAX_NODES = 2_000_000
"""Of one file, aliases counted as often as they are used: what a billion laughs would exceed."""
MAX_ANCHORS = 10_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F][0-9a-fA-F_]*|0o?[0-7][0-7_]*|0b[01][01_]*)")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))([eE][-+]?[0-9]+)?")
_SPECIAL_FLOATS = {"inf": float("inf"), "nan": float("nan")}
_NULLS = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"}
_FALSE = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"}
_SCALAR_TAGS = {"tag:yaml.org,2002:" + name: name for name in ("str", "int", "float", "bool", "null", "timestamp")}
_OTHER_TAGS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!"}

ScalarValue = str | int | float | bool | None


@dataclass(slots=True, eq=False)
class Scalar:
    """value is what YAML 1.1 (which Kubernetes speaks) makes of the text; text is what stands in the file."""

    line: int
    value: ScalarValue
    text: str


@dataclass(slots=True, eq=False)
class Sequence:
    line: int
    items: list["Node"] = field(default_factory=list)
    size: int = 1


@dataclass(slots=True, eq=False)
class Mapping:
    """fields: key -> (line of the key, value)."""

    line: int
    fields: dict[str, tuple[int, "Node"]] = field(default_factory=dict)
    size: int = 1

    def get(self, key: str) -> "Node | None":
        found = self.fields.get(key)
        return None if found is None else found[1]


Node: TypeAlias = Scalar | Sequence | Mapping


class _Refused(Exception):
    """The rest of the file can't be read; the problem has been noted."""


def documents(file: str, text: str, problems: Problems) -> Iterator[Node]:
    """The trees of a file's documents, one at a time, without empty ones. A syntax error ends the file and is noted."""
    builder = _Builder(file, problems)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
            if builder.finished is not None:
                yield builder.finished
                builder.finished = None
    except yaml.MarkedYAMLError as wrong:
        mark = wrong.problem_mark or wrong.context_mark
        line = 0 if mark is None else mark.line + 1
        said = ", ".join(part for part in (wrong.problem, wrong.context) if part)
        hint = _tab_hint(text, line)
        problems.error(Place(file, line), f"this is not YAML: {said}{hint}")
    except yaml.YAMLError as wrong:
        position = getattr(wrong, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 0
        problems.error(Place(file, line), f"this is not YAML: {' '.join(str(wrong).split())}")
    except _Refused:
        pass


class _Builder:
    """Puts one file's events together."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.finished: Node | None = None
        """The document that has just ended; whoever takes it sets None again."""
        self._file = file
        self._problems = problems
        self._nodes = 0
        self._open: list[Sequence | Mapping] = []
        self._keys: list[tuple[str, int] | None] = []
        """Beside each open mapping: the key whose value comes next."""
        self._anchors: dict[str, Node | None] = {}
        self._pending: list[str | None] = []

        self._takers: dict[type[Any], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._take_scalar,
            yaml.MappingStartEvent: lambda event: self._begin(event, Mapping(event.start_mark.line + 1)),
            yaml.MappingEndEvent: lambda _: self._end(),
            yaml.SequenceStartEvent: lambda event: self._begin(event, Sequence(event.start_mark.line + 1)),
            yaml.SequenceEndEvent: lambda _: self._end(),
            yaml.AliasEvent: lambda event: self._alias(event.anchor, event.start_mark.line + 1),
            yaml.DocumentStartEvent: lambda _: self._anchors.clear(),
        }

    def take(self, event: Any) -> None:
        taker = self._takers.get(type(event))
        if taker is not None:
            taker(event)

    def _refuse(self, line: int, message: str) -> _Refused:
        self._problems.error(Place(self._file, line), message)
        return _Refused()

    def _count(self, line: int, size: int = 1) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            raise self._refuse(line, f"the file has more than {MAX_NODES} values (an alias counts what it repeats)")

    def _begin(self, event: Any, node: Sequence | Mapping) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise self._refuse(node.line, f"nested more than {MAX_DEPTH} levels deep")
        if event.tag is not None and event.tag not in _OTHER_TAGS:
            self._problems.error(Place(self._file, node.line), f"the tag {shown(event.tag)} is not allowed here")
        if event.anchor is not None:
            self._name(event.anchor, None, node.line)
        self._count(node.line)
        self._open.append(node)
        self._keys.append(None)
        self._pending.append(event.anchor)

    def _end(self) -> None:
        node = self._open.pop()
        self._keys.pop()
        anchor = self._pending.pop()
        if anchor is not None:
            self._anchors[anchor] = node
        self._place(node)

    def _take_scalar(self, event: Any) -> None:
        line = event.start_mark.line + 1
        node = self._scalar(event, line)
        self._count(line)
        if event.anchor is not None:
            self._name(event.anchor, node, line)
        self._place(node)

    def _name(self, anchor: str, node: Node | None, line: int) -> None:
        if len(self._anchors) >= MAX_ANCHORS:
            raise self._refuse(line, f"a document has at most {MAX_ANCHORS} anchors")
        self._anchors[anchor] = node

    def _alias(self, anchor: str, line: int) -> None:
        if anchor not in self._anchors:
            raise self._refuse(line, f"the alias *{anchor} names no anchor before it in this document")
        node = self._anchors[anchor]
        if node is None:
            raise self._refuse(line, f"the alias *{anchor} stands inside what it names")
        self._count(line, 1 if isinstance(node, Scalar) else node.size)
        if len(self._open) + _depth(node) > MAX_DEPTH:
            raise self._refuse(line, f"nested more than {MAX_DEPTH} levels deep")
        self._place(node)

    def _place(self, node: Node) -> None:
        if not self._open:
            if not (isinstance(node, Scalar) and node.value is None):
                self.finished = node
            return
        parent = self._open[-1]
        size = 1 if isinstance(node, Scalar) else node.size
        if isinstance(parent, Sequence):
            parent.items.append(node)
            parent.size += size
            return
        key = self._keys[-1]
        if key is None:
            self._keys[-1] = self._key(node)
            parent.size += 1
            return
        self._keys[-1] = None
        name, line = key
        parent.size += size
        if name in parent.fields:
            first = parent.fields[name][0]
            self._problems.error(
                Place(self._file, line), f"the key {shown(name)} stands twice in one mapping, first in line {first}"
            )
        else:
            parent.fields[name] = (line, node)

    def _key(self, node: Node) -> tuple[str, int]:
        if not isinstance(node, Scalar):
            raise self._refuse(node.line, "a key is a plain text, not a list or mapping")
        if node.text == "<<" and node.value == "<<":
            raise self._refuse(node.line, "merge keys ('<<') are not supported: write the fields out")
        return node.text, node.line

    def _scalar(self, event: Any, line: int) -> Scalar:
        text: str = event.value
        if event.tag is None or event.tag == "!":
            plain = event.implicit[0] and event.tag is None
            return Scalar(line, resolved(text) if plain else text, text)
        kind = _SCALAR_TAGS.get(event.tag)
        if kind is None:
            self._problems.error(Place(self._file, line), f"the tag {shown(event.tag)} is not allowed here")
            return Scalar(line, text, text)
        return Scalar(line, text if kind in ("str", "timestamp") else resolved(text), text)


def _depth(node: Node) -> int:
    """Levels below and including node. Bounded by MAX_DEPTH: nothing deeper is ever built."""
    deepest, waiting = 0, [(node, 1)]
    seen: set[tuple[int, int]] = set()
    while waiting:
        one, level = waiting.pop()
        if isinstance(one, Scalar) or (id(one), level) in seen:
            continue
        seen.add((id(one), level))
        deepest = max(deepest, level)
        children = one.items if isinstance(one, Sequence) else [value for _, value in one.fields.values()]
        waiting += [(child, level + 1) for child in children if not isinstance(child, Scalar)]
    return deepest


def resolved(text: str) -> ScalarValue:
    """What a plain (unquoted) scalar means in YAML 1.1. Dates stay text, as they do in Kubernetes."""
    if text in _NULLS:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if not (text[0].isascii() and (text[0].isdigit() or text[0] in "+-.")):
        return text
    if _INT.fullmatch(text) and len(text) < 40:
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text) and len(text) < 400:
        return float(text.replace("_", ""))
    special = _SPECIAL_FLOATS.get(text.lstrip("+-").lower().removeprefix("."))
    if special is not None and "." in text:
        return -special if text[0] == "-" else special
    return text


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    if digits[:2] in ("0x", "0o", "0b"):
        return sign * int(digits, 0)
    octal = len(digits) > 1 and digits[0] == "0"
    return sign * int(digits, 8 if octal else 10)


def _tab_hint(text: str, line: int) -> str:
    lines = text.splitlines()
    if 0 < line <= len(lines) and "\t" in lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]:
        return " (a tab stands in the indentation, where YAML allows blanks only)"
    return ""
