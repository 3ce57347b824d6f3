"""Removing entries and items so that a text comes out as it was before `insert` put them there."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from onboard.text.edits import Edit, line_end, line_start, removal
from onboard.text.nodes import Source, is_mapping, text_end

_DASH = re.compile(r"-\s*\Z")


def entries(source: Source, mapping: Any, wanted: Callable[[str], bool]) -> list[Edit]:
    """Remove the entries whose key is wanted."""
    found = [index for index, (key, _) in enumerate(mapping.value) if key.id == "scalar" and wanted(key.value)]
    if mapping.flow_style:
        return list(_in_flow(mapping, found))
    return [_entry_lines(source, *mapping.value[index]) for index in found]


def items(source: Source, sequence: Any, found: list[int]) -> list[Edit]:
    """Remove the items with these indices."""
    if sequence.flow_style:
        return list(_in_flow(sequence, found))
    return [_item_lines(source, sequence.value[index]) for index in found]


def _entry_lines(source: Source, key: Any, value: Any) -> Edit:
    last = value if value.start_mark.index > key.end_mark.index else key
    return _whole_lines(source, key.start_mark.index, last)


def _item_lines(source: Source, item: Any) -> Edit:
    before = source.text[: item.start_mark.index]
    dash = _DASH.search(before)
    if dash is None:
        raise source.refuse(item, "the dash of this item can't be found: write it in front of the item")
    return _whole_lines(source, dash.start(), item)


def _whole_lines(source: Source, start: int, node: Any) -> Edit:
    """From the line of `start` to the one on which the node ends."""
    first = line_start(source.text, start)
    if source.text[first:start].strip():
        raise source.refuse(node, "something else stands on the same line: give each key and item a line of its own")
    last = line_end(source.text, text_end(source, node))
    if last == len(source.text) and not source.text.endswith("\n") and first > 0:
        first -= 2 if source.text[:first].endswith("\r\n") else 1
    return removal(first, last)


def _in_flow(collection: Any, found: list[int]) -> Iterator[Edit]:
    """Runs of neighbours go together, with the commas that joined them to what stays."""
    ends = [(one[0], one[1]) if is_mapping(collection) else (one, one) for one in collection.value]
    for first, last in _runs(found):
        start, end = ends[first][0].start_mark.index, ends[last][1].end_mark.index
        if last + 1 < len(ends):
            yield removal(start, ends[last + 1][0].start_mark.index)
        elif first > 0:
            yield removal(ends[first - 1][1].end_mark.index, end)
        else:
            yield removal(start, end)


def _runs(indices: list[int]) -> Iterator[tuple[int, int]]:
    begun: int | None = None
    for position, index in enumerate(indices):
        begun = index if begun is None else begun
        if position + 1 == len(indices) or indices[position + 1] != index + 1:
            yield begun, index
            begun = None
