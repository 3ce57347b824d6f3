"""Trees -> typed objects, as msgspec structs describe them.

The structs in `kinds` are the schema. msgspec's own decoder stops at the first mistake and knows no lines, so the walk
is ours; what it takes from msgspec is the description of the types (`msgspec.inspect`) and fast immutable structs.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import inspect

from mesh.yaml.nodes import Mapping, Node, Scalar, Sequence
from mesh.yaml.problems import shown
from mesh.yaml.scalars import (
    choice_reader,
    few_reader,
    float_reader,
    integer_reader,
    read_boolean,
    text_reader,
    word_reader,
)
from mesh.yaml.sink import BAD, Read, Sink

S = TypeVar("S", bound="Shape")


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A mapping of a document. A field that is neither described nor named in `unheeded` or `unobeyed` is an error.
    `line` is no field of the document: it holds the line on which the mapping begins. In a shape that has `lines`,
    that holds the line of each field."""

    open: ClassVar[bool] = False
    """Whether fields that are not described are left alone."""
    unheeded: ClassVar[frozenset[str]] = frozenset()
    """Published fields that mean nothing to a sidecar: what they hold is not looked at."""
    unobeyed: ClassVar[frozenset[str]] = frozenset()
    """Published fields that would mean something and are not obeyed: they are named by a warning."""
    shared: ClassVar[bool] = False
    """Equal objects are one object, without a line: there may be hundreds of thousands."""
    line: int = 0

    def mistakes(self) -> Iterator[tuple[int, str]]:
        """What no single field can tell is wrong: (line, message). Called once the fields are right."""
        return iter(())


_NO_FIELDS = ("line", "lines")


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
            return text_reader(described, "")
        case inspect.IntType():
            return integer_reader(described)
        case inspect.FloatType():
            return float_reader(described)
        case inspect.BoolType():
            return read_boolean
        case inspect.EnumType() | inspect.LiteralType():
            return choice_reader(described)
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
    shape = _own(described.cls)
    fields = [field for field in described.fields if field.name not in _NO_FIELDS]
    wants_lines = len(fields) < len(described.fields) - 1
    readers = {field.encode_name: (field.name, _reader(field.type)) for field in fields}
    required = [field.encode_name for field in fields if field.required]
    allowed = ", ".join(sorted({*readers, *shape.unheeded, *shape.unobeyed}))
    once: dict[Shape, Shape] = {}

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
                if key in shape.unobeyed:
                    sink.warning(line, f"{prefix}{key} is not obeyed in this version")
                elif key not in shape.unheeded and not shape.open:
                    good = (
                        sink.error(line, f"{prefix}{key[:80]}: there is no such field; there are: {allowed}") is not BAD
                    )
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
        made = shape(**({**values, "line": 0} if shape.shared else values))
        return once.setdefault(made, made) if shape.shared else _judged(made, prefix, sink)

    return read


def _judged(made: Shape, prefix: str, sink: Sink) -> Any:
    """What no single field can tell is wrong."""
    wrong = list(made.mistakes())
    for line, message in wrong:
        sink.error(line, prefix + message)
    return BAD if wrong else made


def _annotated(described: inspect.Metadata) -> Read:
    extra = described.extra or {}
    if isinstance(described.type, inspect.StrType):
        read = text_reader(described.type, str(extra.get("allowed", "")), extra.get("check"))
        if extra.get("few"):
            return few_reader(read)
        return word_reader(read) if extra.get("words") else read
    return _reader(described.type)


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
    """Whether a node is of the member's kind. If it is, that member's reader tells what is wrong with it."""
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
