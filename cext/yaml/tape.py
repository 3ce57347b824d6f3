"""A text's documents as tapes: what libyaml found, in columns. Raises NotReadable where the text can't be read on."""

import errno
from array import array
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from cext.yaml._yaml import ffi, lib

MAPPING: int = lib.TG_YAML_MAPPING
MAPPING_END: int = lib.TG_YAML_MAPPING_END
SEQUENCE: int = lib.TG_YAML_SEQUENCE
SEQUENCE_END: int = lib.TG_YAML_SEQUENCE_END
ALIAS: int = lib.TG_YAML_ALIAS
QUOTED: int = lib.TG_YAML_QUOTED
PLAIN: int = lib.TG_YAML_PLAIN


_LARGE = 10_000
"""Events of a document from which on its columns do not stay in memory twice."""


class Mark(NamedTuple):
    """The anchor and the tag of one node; empty where there is none."""

    anchor: str
    tag: str


class Tape(NamedTuple):
    """One document. Item i of each column belongs to event i; an event's text is text[offsets[i] : offsets[i + 1]]."""

    kinds: bytes
    lines: "array[int]"
    """Where each event begins; the first line is 1."""
    offsets: "array[int]"
    after: "array[int]"
    """The event that follows the whole node which begins here."""
    text: str
    marks: dict[int, Mark]
    aliases: int
    """How many events are aliases."""


class Why(Enum):
    NOT_YAML = errno.EBADMSG
    TOO_DEEP = errno.ELOOP
    TOO_MANY = errno.E2BIG


class NotReadable(Exception):
    """The rest of the text can't be read. line 0: not known."""

    def __init__(self, why: Why, line: int, message: str) -> None:
        super().__init__(message)
        self.why = why
        self.line = line


def tapes(text: str, *, max_depth: int, max_nodes: int) -> Iterator[Tape]:
    """Each document of the text in turn. max_nodes: of all documents together."""
    data = text.encode("utf-8", "surrogatepass")
    kept = ffi.from_buffer(data)
    parser = lib.tg_yaml_open(kept, len(data))
    if parser == ffi.NULL:
        raise MemoryError
    try:
        yield from _documents(parser, data, max_depth, max_nodes)
    finally:
        lib.tg_yaml_close(parser)


def _documents(parser: object, data: bytes, max_depth: int, max_nodes: int) -> Iterator[Tape]:
    found = ffi.new("struct tg_yaml_tape *")
    failure = ffi.new("struct tg_yaml_failure *")
    while True:
        result = lib.tg_yaml_next(parser, max_depth, max_nodes, found, failure)
        if result == 0:
            return
        if result < 0:
            raise _raised(-result, failure, data)
        tape = _tape(found)
        if found.count > _LARGE:
            lib.tg_yaml_release(parser)
        yield tape


def _tape(found: "ffi.CData") -> Tape:
    count = found.count
    text = ffi.buffer(found.text, found.text_size)[:].decode("utf-8") if found.text_size else ""
    return Tape(
        kinds=ffi.buffer(found.kinds, count)[:],
        lines=array("I", ffi.buffer(found.lines, 4 * count)[:]),
        offsets=array("I", ffi.buffer(found.offsets, 4 * (count + 1))[:]),
        after=array("I", ffi.buffer(found.after, 4 * count)[:]),
        text=text,
        marks={
            one.event: Mark(text[one.anchor : one.anchor_end], text[one.tag : one.tag_end])
            for one in ffi.unpack(found.marks, found.mark_count)
        }
        if found.mark_count
        else {},
        aliases=found.alias_count,
    )


def _raised(number: int, failure: "ffi.CData", data: bytes) -> Exception:
    if number == errno.ENOMEM:
        return MemoryError()
    why = Why(number)
    said = [ffi.string(one).decode() for one in (failure.problem, failure.context) if one != ffi.NULL]
    if failure.line or why is not Why.NOT_YAML:
        return NotReadable(why, failure.line, ", ".join(said))
    if failure.character >= 0:
        said.append(f"character 0x{failure.character:04x}")
    return NotReadable(why, data.count(b"\n", 0, failure.offset) + 1, ", ".join(said))
