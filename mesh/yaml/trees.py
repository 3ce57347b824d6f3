"""YAML text -> trees of nodes. libyaml finds the events (`cext.yaml`); depth, size, aliases, tags and duplicate keys
are judged here, while the trees grow."""

from collections.abc import Iterator
from sys import intern

from cext.yaml.tape import (
    ALIAS,
    MAPPING,
    MAPPING_END,
    PLAIN,
    QUOTED,
    SEQUENCE,
    SEQUENCE_END,
    NotReadable,
    Tape,
    Why,
    tapes,
)
from mesh.yaml.nodes import Mapping, Node, Scalar, Sequence, Stream
from mesh.yaml.problems import Place, Problems, shown
from mesh.yaml.resolve import resolved

MAX_DEPTH = 64
MAX_NODES = 2_000_000
"""Of one file. Each use of an alias counts all that it repeats, so that a "billion laughs" file exceeds the limit."""
MAX_ANCHORS = 10_000

_PREFIX = "tag:yaml.org,2002:"
_TEXT_TAGS = {_PREFIX + "str", _PREFIX + "timestamp"}
_VALUE_TAGS = {_PREFIX + name for name in ("int", "float", "bool", "null")}
_OTHER_TAGS = {"", "!", _PREFIX + "map", _PREFIX + "seq"}
_MERGE = "merge keys ('<<') are not supported: write the fields out"
_TOO_MANY = f"the file has more than {MAX_NODES} values (an alias counts what it repeats)"


class _Refused(Exception):
    """The rest of the file can't be read; the problem has been noted."""


def documents(file: str, text: str, problems: Problems) -> Iterator[Node]:
    """The trees of a file's documents, one at a time, without empty ones. What can't be read ends the file and is
    noted. The `items` of a document are a Stream where no alias can refer to them."""
    notes = _Notes(file, problems)
    spare = MAX_NODES
    try:
        for tape in tapes(text, max_depth=MAX_DEPTH, max_nodes=MAX_NODES):
            spare -= len(tape.kinds) - tape.kinds.count(MAPPING_END) - tape.kinds.count(SEQUENCE_END)
            builder = _Builder(tape, notes, spare)
            root = builder.root()
            if not (isinstance(root, Scalar) and root.value is None):
                yield root
            builder.finish()
            spare = builder.spare
    except NotReadable as failed:
        notes.error(failed.line, _told(failed, text))
    except _Refused:
        pass


def _told(failed: NotReadable, text: str) -> str:
    match failed.why:
        case Why.TOO_DEEP:
            return f"nested more than {MAX_DEPTH} levels deep"
        case Why.TOO_MANY:
            return _TOO_MANY
        case Why.NOT_YAML:
            return f"this is not YAML: {failed}{_tab_hint(text, failed.line)}"


class _Notes:
    """What is wrong in one file."""

    def __init__(self, file: str, problems: Problems) -> None:
        self._file = file
        self._problems = problems

    def error(self, line: int, message: str) -> None:
        self._problems.error(Place(self._file, line), message)

    def refuse(self, line: int, message: str) -> _Refused:
        self.error(line, message)
        return _Refused()


class _Builder:
    """Makes the nodes of one tape. Recursion ends at MAX_DEPTH: no tape is nested deeper."""

    def __init__(self, tape: Tape, notes: _Notes, spare: int) -> None:
        """spare: how many nodes the aliases of the tape may stand for."""
        self.spare = spare
        self._tape = tape
        self._notes = notes
        self._anchors: dict[str, Node | None] = {}
        """None: the node is still being built."""
        self._measured: dict[int, tuple[int, int]] = {}
        self._stream: Stream | None = None
        self._stream_at = -1 if tape.aliases else self._items()

    def root(self) -> Node:
        return self._node(0, 0)

    def finish(self) -> None:
        """Build what the reader has left of the stream, for the sake of the problems in it."""
        if self._stream is not None:
            for _ in self._stream.items:
                pass

    def _items(self) -> int:
        """The event at which the list under the root's key `items` begins; -1: there is none."""
        kinds, offsets, after = self._tape.kinds, self._tape.offsets, self._tape.after
        at, end = 1, after[0] - 1 if kinds[0] == MAPPING else 0
        while at < end:
            value = after[at]
            if kinds[value] == SEQUENCE and self._tape.text[offsets[at] : offsets[at + 1]] == "items":
                return value
            at = after[value]
        return -1

    def _node(self, at: int, depth: int) -> Node:
        """The node that begins at event `at`. depth: how many mappings and sequences are around it."""
        tape = self._tape
        kind = tape.kinds[at]
        if kind == ALIAS:
            return self._alias(at, depth)
        anchor, tag = tape.marks.get(at, ("", "")) if tape.marks else ("", "")
        if kind >= QUOTED:
            node: Node = self._scalar(at, tag)
        elif at == self._stream_at:
            node = self._stream = Stream(tape.lines[at], self._children(at, depth + 1))
        else:
            if tag not in _OTHER_TAGS:
                self._wrong_tag(at, tag)
            self._name(at, anchor, None)
            node = self._mapping(at, depth + 1) if kind == MAPPING else self._sequence(at, depth + 1)
        self._name(at, anchor, node)
        return node

    def _sequence(self, first: int, depth: int) -> Sequence:
        return Sequence(self._tape.lines[first], list(self._children(first, depth)))

    def _children(self, first: int, depth: int) -> Iterator[Node]:
        after = self._tape.after
        at, end = first + 1, after[first] - 1
        while at < end:
            yield self._node(at, depth)
            at = after[at]

    def _mapping(self, first: int, depth: int) -> Mapping:
        kinds, lines, offsets, after, text, marks, _ = self._tape
        fields: dict[str, tuple[int, Node]] = {}
        at, end = first + 1, after[first] - 1
        while at < end:
            line = lines[at]
            if kinds[at] >= QUOTED and not marks:
                key = text[offsets[at] : offsets[at + 1]]
                if key == "<<" and kinds[at] == PLAIN:
                    raise self._notes.refuse(line, _MERGE)
            else:
                key = self._key(at, depth)
            at = after[at]
            kind = kinds[at]
            if kind >= QUOTED and not marks:
                said = text[offsets[at] : offsets[at + 1]]
                value: Node = Scalar(lines[at], resolved(said) if kind == PLAIN else said, said)
            else:
                value = self._node(at, depth)
            at = after[at]
            key = intern(key)
            if key in fields:
                twice = f"the key {shown(key)} stands twice in one mapping, first in line {fields[key][0]}"
                self._notes.error(line, twice)
            else:
                fields[key] = (line, value)
        return Mapping(lines[first], fields)

    def _key(self, at: int, depth: int) -> str:
        node = self._node(at, depth)
        line = self._tape.lines[at]
        if not isinstance(node, Scalar):
            raise self._notes.refuse(line, "a key is a plain text, not a list or mapping")
        if node.text == "<<" and node.value == "<<":
            raise self._notes.refuse(line, _MERGE)
        return node.text

    def _scalar(self, at: int, tag: str) -> Scalar:
        tape = self._tape
        text = tape.text[tape.offsets[at] : tape.offsets[at + 1]]
        line = tape.lines[at]
        if tag in _VALUE_TAGS or tape.kinds[at] == PLAIN:
            return Scalar(line, resolved(text), text)
        if tag not in _TEXT_TAGS and tag not in ("", "!"):
            self._wrong_tag(at, tag)
        return Scalar(line, text, text)

    def _wrong_tag(self, at: int, tag: str) -> None:
        self._notes.error(self._tape.lines[at], f"the tag {shown(tag)} is not allowed here")

    def _name(self, at: int, anchor: str, node: Node | None) -> None:
        if not anchor:
            return
        if anchor not in self._anchors and len(self._anchors) >= MAX_ANCHORS:
            raise self._notes.refuse(self._tape.lines[at], f"a document has at most {MAX_ANCHORS} anchors")
        self._anchors[anchor] = node

    def _alias(self, at: int, depth: int) -> Node:
        tape = self._tape
        line = tape.lines[at]
        anchor = tape.text[tape.offsets[at] : tape.offsets[at + 1]]
        if anchor not in self._anchors:
            raise self._notes.refuse(line, f"the alias *{anchor} names no anchor before it in this document")
        node = self._anchors[anchor]
        if node is None:
            raise self._notes.refuse(line, f"the alias *{anchor} stands inside what it names")
        size, levels = self._measure(node)
        self.spare -= size - 1
        if self.spare < 0:
            raise self._notes.refuse(line, _TOO_MANY)
        if depth + levels > MAX_DEPTH:
            raise self._notes.refuse(line, f"nested more than {MAX_DEPTH} levels deep")
        return node

    def _measure(self, node: Node) -> tuple[int, int]:
        """How many nodes a node stands for, keys included, and how many levels it has."""
        if isinstance(node, Scalar | Stream):
            return 1, 0
        known = self._measured.get(id(node))
        if known is None:
            values = node.items if isinstance(node, Sequence) else [value for _, value in node.fields.values()]
            inside = [self._measure(value) for value in values]
            keys = 0 if isinstance(node, Sequence) else len(values)
            known = (1 + keys + sum(size for size, _ in inside), 1 + max((levels for _, levels in inside), default=0))
            self._measured[id(node)] = known
        return known


def _tab_hint(text: str, line: int) -> str:
    lines = text.splitlines()
    if 0 < line <= len(lines) and "\t" in lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]:
        return " (a tab stands in the indentation, where YAML allows blanks only)"
    return ""
