"""Trees -> typed objects, as msgspec structs describe them.

The structs in `kinds` are the schema. msgspec's own decoder stops at the first mistake and knows no lines, so the walk
is ours; what it takes from msgspec is the description of the types (`msgspec.inspect`) and fast immutable structs.
"""

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from mesh.yaml.nodes import Mapping, Node, Scalar, Sequence
from mesh.yaml.problems import Place, Problems, shown

S = TypeVar("S", bound="Shape")


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=False):
    """A mapping of a document. Unknown fields are left alone, as the API server prunes them; our own kinds set
    `forbid_unknown_fields`. `line` is where the mapping begins and no field of the document; a shape that has `lines`
    gets there the line of each field."""

    line: int = 0

    def mistakes(self) -> Iterator[tuple[int, str]]:
        """What no single field can tell is wrong: (line, message). Called once the fields are right."""
        return iter(())


class Invalid(Exception):
    """Raised by the check of a text; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Sink:
    """Where a walk tells what it found."""

    file: str
    problems: Problems

    def invalid(self, node: Node, path: str, allowed: str) -> Any:
        token = node.text if isinstance(node, Scalar) else "a list" if isinstance(node, Sequence) else "a mapping"
        self.problems.invalid(Place(self.file, node.line), path, token, allowed)
        return BAD

    def error(self, line: int, message: str) -> Any:
        self.problems.error(Place(self.file, line), message)
        return BAD


BAD: Any = object()
_NO_FIELDS = ("line", "lines")
Read = Callable[[Node, str, Sink], Any]


def shaped(node: Node, shape: type[S], sink: Sink) -> S | None:
    """The object that a tree describes; None when something is wrong with it, all of which has been noted."""
    found = _reader_of(shape)(node, "", sink)
    return None if found is BAD else found


@cache
def _reader_of(shape: type[Shape]) -> Read:
    described = inspect.type_info(shape)
    if not isinstance(described, inspect.StructType):
        raise TypeError(f"{shape} is no struct")
    return _struct(described)


def _reader(described: inspect.Type) -> Read:
    match described:
        case inspect.Metadata():
            return _annotated(described)
        case inspect.StructType():
            return _lazily(_own(described.cls))
        case inspect.UnionType():
            return _union([one for one in described.types if not isinstance(one, inspect.NoneType)])
        case inspect.StrType():
            return _text(described, "")
        case inspect.IntType():
            return _integer(described)
        case inspect.FloatType():
            return _float(described)
        case inspect.BoolType():
            return _boolean
        case inspect.EnumType() | inspect.LiteralType():
            return _choice(described)
        case inspect.VarTupleType():
            return _sequence(described)
        case inspect.DictType():
            return _mapping(described)
        case inspect.AnyType():
            return lambda _node, _path, _sink: None
    raise TypeError(f"no document has fields of the type {described}")


def _own(struct: type[msgspec.Struct]) -> type[Shape]:
    if not issubclass(struct, Shape):
        raise TypeError(f"{struct} is no Shape")
    return struct


def _lazily(shape: type[Shape]) -> Read:
    """Structs are looked at when the first document has one: most files use a fraction of all shapes."""

    def read(node: Node, path: str, sink: Sink) -> Any:
        return _reader_of(shape)(node, path, sink)

    return read


def _struct(described: inspect.StructType) -> Read:
    shape, strict = _own(described.cls), described.forbid_unknown_fields
    fields = [field for field in described.fields if field.name not in _NO_FIELDS]
    wants_lines = len(fields) < len(described.fields) - 1
    readers = {field.encode_name: (field.name, _reader(field.type)) for field in fields}
    required = [field.encode_name for field in fields if field.required]

    def read(node: Node, path: str, sink: Sink) -> Any:
        if not isinstance(node, Mapping):
            return sink.invalid(node, path or "the document", "a mapping of fields")
        prefix = f"{path}." if path else ""
        values: dict[str, Any] = {"line": node.line}
        if wants_lines:
            values["lines"] = {key: line for key, (line, _) in node.fields.items()}
        good = True
        for key, (line, value) in node.fields.items():
            known = readers.get(key)
            if known is None:
                if strict:
                    allowed = ", ".join(sorted(readers))
                    good = sink.error(line, f"{prefix}{key}: there is no such field; there are: {allowed}") is not BAD
                continue
            if isinstance(value, Scalar) and value.value is None:
                continue  # null means left out, as it does for the API server
            name, reader = known
            found = reader(value, prefix + key, sink)
            if found is BAD:
                good = False
            else:
                values[name] = found
        for key in required:
            present = node.get(key)
            if present is None or (isinstance(present, Scalar) and present.value is None):
                good = sink.error(node.line, f"{prefix}{key}: is missing") is not BAD
        if not good:
            return BAD
        made = shape(**values)
        for line, message in made.mistakes():
            good = sink.error(line, f"{prefix}{message}" if path else message) is not BAD
        return made if good else BAD

    return read


def _annotated(described: inspect.Metadata) -> Read:
    extra = described.extra or {}
    if isinstance(described.type, inspect.StrType):
        read = _text(described.type, str(extra.get("allowed", "")), extra.get("check"))
        return _word(read) if extra.get("words") else read
    return _reader(described.type)


def _text(described: inspect.StrType, allowed: str, check: Callable[[str], object] | None = None) -> Read:
    """`check` raises Invalid; `allowed` is what a person is told when pattern or length is wrong."""
    import re

    pattern = None if described.pattern is None else re.compile(described.pattern)
    shortest, longest = described.min_length or 0, described.max_length or 1 << 20
    allowed = allowed or f"a text of {shortest} to {longest} characters"

    def read(node: Node, path: str, sink: Sink) -> Any:
        if not isinstance(node, Scalar):
            return sink.invalid(node, path, "a text")
        value = node.value
        if not isinstance(value, str):
            return sink.invalid(node, path, _instead_of_quotes(node.text, check))
        if not shortest <= len(value) <= longest or (pattern is not None and not pattern.search(value)):
            return sink.invalid(node, path, allowed)
        if check is not None:
            try:
                check(value)
            except Invalid as wrong:
                return sink.invalid(node, path, str(wrong))
        return value

    return read


def _instead_of_quotes(text: str, check: Callable[[str], object] | None) -> str:
    """What to tell whoever wrote a number or boolean for a text: quotes only help where the text is right."""
    try:
        if check is not None:
            check(text)
    except Invalid as wrong:
        return str(wrong)
    return f'a text; write it in quotes: "{text}"'


def _word(read: Read) -> Read:
    def read_word(node: Node, path: str, sink: Sink) -> Any:
        return node.text if isinstance(node, Scalar) and isinstance(node.value, bool) else read(node, path, sink)

    return read_word


def _integer(described: inspect.IntType) -> Read:
    low = -(1 << 63) if described.ge is None else described.ge
    high = (1 << 63) - 1 if described.le is None else described.le
    allowed = f"a whole number, {low} to {high}"

    def read(node: Node, path: str, sink: Sink) -> Any:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            quoted = isinstance(value, str) and value.isdigit()
            return sink.invalid(node, path, f"{allowed}, without quotes" if quoted else allowed)
        return value

    return read


def _float(described: inspect.FloatType) -> Read:
    low = float("-inf") if described.ge is None else described.ge
    high = float("inf") if described.le is None else described.le

    def read(node: Node, path: str, sink: Sink) -> Any:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            return sink.invalid(node, path, f"a number, {low:g} to {high:g}")
        return float(value)

    return read


def _boolean(node: Node, path: str, sink: Sink) -> Any:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    return sink.invalid(node, path, "true or false")


def _choice(described: inspect.EnumType | inspect.LiteralType) -> Read:
    if isinstance(described, inspect.EnumType):
        choices: dict[Any, Any] = {member.value: member for member in described.cls}
    else:
        choices = {value: value for value in described.values}
    allowed = "one of " + ", ".join(str(choice) for choice in choices)

    def read(node: Node, path: str, sink: Sink) -> Any:
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value in choices:
            return choices[node.value]
        if isinstance(node, Scalar) and isinstance(node.value, bool) and node.text in choices:
            return choices[node.text]  # `dns: off` is a boolean to YAML 1.1, and a choice to whoever wrote it
        return sink.invalid(node, path, allowed)

    return read


def _union(types: list[inspect.Type]) -> Read:
    if len(types) == 1:
        return _reader(types[0])
    by_value: list[tuple[Callable[[Node], bool], Read]] = [(_takes(one), _reader(one)) for one in types]
    allowed = " or ".join(_named(one) for one in types)

    def read(node: Node, path: str, sink: Sink) -> Any:
        for takes, reader in by_value:
            if takes(node):
                return reader(node, path, sink)
        return sink.invalid(node, path, allowed)

    return read


def _plain(described: inspect.Type) -> inspect.Type:
    return described.type if isinstance(described, inspect.Metadata) else described


def _takes(described: inspect.Type) -> Callable[[Node], bool]:
    """Whether a node is of the member's kind at all; what is wrong with it then is that member's to say."""
    match _plain(described):
        case inspect.BoolType():
            return lambda node: isinstance(node, Scalar) and isinstance(node.value, bool)
        case inspect.IntType():
            return lambda node: (
                isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool)
            )
        case inspect.StrType():
            return lambda node: isinstance(node, Scalar) and isinstance(node.value, str)
        case inspect.VarTupleType():
            return lambda node: isinstance(node, Sequence)
        case _:
            return lambda node: isinstance(node, Mapping)


def _named(described: inspect.Type) -> str:
    names = {inspect.IntType: "a whole number", inspect.StrType: "a text", inspect.VarTupleType: "a list"}
    return {**names, inspect.BoolType: "true or false"}.get(type(_plain(described)), "a mapping")


def _sequence(described: inspect.VarTupleType) -> Read:
    reader = _reader(described.item_type)
    shortest, longest = described.min_length or 0, described.max_length or 1 << 20

    def read(node: Node, path: str, sink: Sink) -> Any:
        if not isinstance(node, Sequence):
            return sink.invalid(node, path, "a list")
        if not shortest <= len(node.items) <= longest:
            count = len(node.items)
            return sink.error(node.line, f"{path}: {count} entries are not valid: allowed are {shortest} to {longest}")
        found = tuple(reader(item, f"{path}[{number}]", sink) for number, item in enumerate(node.items))
        return BAD if any(one is BAD for one in found) else found

    return read


def _mapping(described: inspect.DictType) -> Read:
    reader = _reader(described.value_type)

    def read(node: Node, path: str, sink: Sink) -> Any:
        if not isinstance(node, Mapping):
            return sink.invalid(node, path, "a mapping")
        found = {key: reader(value, f"{path}.{shown(key)}", sink) for key, (_, value) in node.fields.items()}
        return BAD if any(one is BAD for one in found.values()) else found

    return read


def choices_of(kind: type[enum.StrEnum]) -> str:
    return ", ".join(str(member) for member in kind)
