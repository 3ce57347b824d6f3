"""Where a new entry of a mapping or a new item of a sequence goes, and how it looks there."""

from collections.abc import Mapping, Sequence
from typing import Any

from onboard.text import render
from onboard.text.edits import Edit, insertion, line_end, line_start, newline
from onboard.text.nodes import Source, is_mapping, is_null, is_sequence
from onboard.text.render import Value


def new_entry(source: Source, owner: Any | None, mapping: Any, key: str, value: Value) -> Edit:
    """`key: value` as the first entry of the mapping. owner: the key whose value the mapping is; None: it has none."""
    if is_null(mapping) and owner is not None and mapping.start_mark.index == mapping.end_mark.index:
        return _lines_below(source, owner, owner.start_mark.column + 2, render.block({key: value}))
    if not is_mapping(mapping):
        raise source.refuse(mapping, f"a mapping is expected here, for {key!r}")
    if mapping.flow_style or not mapping.value:
        return _in_flow(source, mapping, f"{render.flow(key)}: {render.flow(value)}")
    lines = render.block({key: value})
    first = mapping.value[0][0]
    column = first.start_mark.column
    if owner is not None and mapping.start_mark.line > owner.start_mark.line:
        return _lines_below(source, owner, column, lines)
    # The mapping begins behind a dash or at the top of a document: above the first key that has its line to itself.
    for name, _ in mapping.value:
        start = line_start(source.text, name.start_mark.index)
        if not source.text[start : name.start_mark.index].strip():
            return insertion(start, _joined(source, column, lines))
    raise source.refuse(first, f"there is no place for {key!r}: write the mapping's keys on lines of their own")


def new_items(source: Source, owner: Any, sequence: Any, items: Sequence[Mapping[str, Value]]) -> Edit:
    """Items as the first ones of the sequence that is the value of the key `owner`."""
    lines = [line for one in items for line in render.item(one)]
    if is_null(sequence) and sequence.start_mark.index == sequence.end_mark.index:
        return _lines_below(source, owner, owner.start_mark.column, lines)
    if not is_sequence(sequence):
        raise source.refuse(sequence, f"a list is expected here, for {owner.value!r}")
    if sequence.flow_style or not sequence.value:
        return _in_flow(source, sequence, ", ".join(render.flow(one) for one in items))
    return _lines_below(source, owner, sequence.start_mark.column, lines)


def _lines_below(source: Source, owner: Any, column: int, lines: Sequence[str]) -> Edit:
    """Under the key's own line, so that comments that stand above what follows stay with it."""
    at = line_end(source.text, owner.end_mark.index)
    text = _joined(source, column, lines)
    if at == len(source.text) and not source.text.endswith("\n"):
        end = newline(source.text)
        text = end + text.removesuffix(end)
    return insertion(at, text)


def _joined(source: Source, column: int, lines: Sequence[str]) -> str:
    return "".join(" " * column + line + newline(source.text) for line in lines)


def _in_flow(source: Source, collection: Any, text: str) -> Edit:
    if not collection.value:
        return insertion(collection.start_mark.index + 1, text)
    first = collection.value[0]
    at = (first[0] if is_mapping(collection) else first).start_mark.index
    start = line_start(source.text, at)
    indent = source.text[start:at]
    # Laid out over several lines, as JSON often is, the new part gets a line of its own.
    between = " " if indent.strip() else newline(source.text) + indent
    return insertion(at, f"{text},{between}")
