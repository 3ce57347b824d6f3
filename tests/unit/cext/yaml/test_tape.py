"""The tape holds what the events of PyYAML hold, whatever the text: both drive libyaml, neither adds or loses any."""

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cext.yaml.tape import ALIAS, MAPPING, MAPPING_END, PLAIN, QUOTED, SEQUENCE, SEQUENCE_END, NotReadable, Why, tapes

LIMITS = {"max_depth": 64, "max_nodes": 10_000}
KINDS = {
    yaml.MappingStartEvent: MAPPING,
    yaml.MappingEndEvent: MAPPING_END,
    yaml.SequenceStartEvent: SEQUENCE,
    yaml.SequenceEndEvent: SEQUENCE_END,
    yaml.AliasEvent: ALIAS,
}
Row = tuple[int, int, str, str, str]
"""Kind, line, text, anchor, tag."""


def ours(text: str) -> tuple[list[list[Row]], int | None]:
    """The documents, and the line of the failure, if there is one."""
    found = []
    try:
        for tape in tapes(text, **LIMITS):
            texts = [tape.text[begin:end] for begin, end in zip(tape.offsets, tape.offsets[1:], strict=False)]
            marks = [tape.marks.get(number, ("", "")) for number in range(len(tape.kinds))]
            columns = zip(tape.kinds, tape.lines, texts, marks, strict=True)
            found.append([(kind, line, said, *mark) for kind, line, said, mark in columns])
    except NotReadable as failed:
        return found, failed.line
    return found, None


def row(event: Any) -> Row:
    line = event.start_mark.line + 1
    if isinstance(event, yaml.ScalarEvent):
        kind = PLAIN if event.implicit[0] and event.tag is None else QUOTED
        return kind, line, event.value, event.anchor or "", event.tag or ""
    if isinstance(event, yaml.AliasEvent):
        return ALIAS, line, event.anchor, "", ""
    return KINDS[type(event)], line, "", getattr(event, "anchor", None) or "", getattr(event, "tag", None) or ""


def theirs(text: str) -> tuple[list[list[Row]], int | None]:
    found: list[list[Row]] = []
    current: list[Row] = []
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.DocumentEndEvent):
                found.append(current)
                current = []
            elif not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentStartEvent):
                current.append(row(event))
    except yaml.MarkedYAMLError as failed:
        mark = failed.problem_mark or failed.context_mark
        return found, mark.line + 1
    except yaml.reader.ReaderError as failed:
        return found, text.encode()[: failed.position].count(b"\n") + 1
    return found, None


pieces = st.sampled_from(
    ["a", "b: ", "- ", "\n", "  ", "---\n", "...\n", "&x ", "*x", "!!str ", "!t ", "'", '"', "|\n", ">-\n", "[", "]",
     "{", "}", ", ", "? ", ": ", "#", "é", "𝄞", "yes", "~", "010", "0x1f", "1:30", "<<: ", "\t", "\\u263a", "\x07",
     "%YAML 1.1\n", "\ufeff", "\x85", "\u2028", "\r\n", "2026-01-01", "!", "@"]
)  # fmt: skip


@settings(deadline=None, max_examples=500)
@given(st.lists(pieces, max_size=40).map("".join))
@example("a: &x !!str é\nb: *x\nc: [1, {d: e}]\n--- \n- |\n  𝄞\n")
@example("a: é\nb: \x07\n")
@example("\ufeff%YAML 1.1\n")
def test_the_tape_agrees_with_pyyaml(text: str) -> None:
    assert ours(text) == theirs(text)


tree = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


@settings(deadline=None)
@given(st.lists(tree, max_size=3), st.booleans(), st.booleans())
def test_the_tape_agrees_with_pyyaml_on_what_a_writer_wrote(values: list[object], flow: bool, unicode: bool) -> None:
    text = yaml.safe_dump_all(values, default_flow_style=flow, allow_unicode=unicode)
    found, failed = ours(text)
    assert (found, failed) == theirs(text)
    assert failed is None


def test_after_leads_past_the_whole_node() -> None:
    (tape,) = tapes("a: [1, {b: [2]}]\nc: 3\n", **LIMITS)
    ends = [tape.after[number] for number in range(len(tape.kinds))]
    for number, kind in enumerate(tape.kinds):
        if kind in (MAPPING, SEQUENCE):
            assert tape.kinds[ends[number] - 1] == kind + 1
        else:
            assert ends[number] == number + 1
    assert ends[0] == len(tape.kinds)


@pytest.mark.parametrize(
    ("text", "why", "line"),
    [
        ("a:\n  " + "[" * 64, Why.TOO_DEEP, 2),
        ("[" * 100_000, Why.TOO_DEEP, 1),
        ("- a\n" * 10_000, Why.TOO_MANY, 10_000),
        ("--- a\n" * 10_001, Why.TOO_MANY, 10_001),
        ("a: b: c", Why.NOT_YAML, 1),
        ("a: \ud800", Why.NOT_YAML, 1),
    ],
)
def test_limits_and_mistakes_end_the_text_with_their_line(text: str, why: Why, line: int) -> None:
    with pytest.raises(NotReadable) as failed:
        list(tapes(text, **LIMITS))
    assert (failed.value.why, failed.value.line) == (why, line)


def test_a_reader_may_stop_anywhere() -> None:
    reading = tapes("a: 1\n---\nb: 2\n", **LIMITS)
    assert next(reading).text == "a1"
    reading.close()


def test_a_small_document_after_a_large_one() -> None:
    large, small = tapes("- a\n" * 20_000 + "---\nb: c\n", max_depth=64, max_nodes=100_000)
    assert (len(large.kinds), large.text) == (20_002, "a" * 20_000)
    assert (small.text, list(small.lines)) == ("bc", [20_002, 20_002, 20_002, 20_003])
