"""Readers of texts, numbers, booleans and choices: a scalar's value when it is what the field allows."""

import re
from collections.abc import Callable
from sys import intern
from typing import Any

from msgspec import inspect

from mesh.yaml.nodes import Node, Scalar
from mesh.yaml.sink import Invalid, Read, Sink


def text_reader(described: inspect.StrType, allowed: str, check: Callable[[str], object] | None = None) -> Read:
    """`check` raises Invalid; `allowed` is what a person is told when pattern or length is wrong."""
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
    """What to tell of a number or boolean in place of a text: quotes help only if the text in them would be right."""
    try:
        if check is not None:
            check(text)
    except Invalid as wrong:
        return str(wrong)
    return f'a text; write it in quotes: "{text}"'


def word_reader(read: Read) -> Read:
    def read_word(node: Node, path: str, sink: Sink) -> Any:
        return node.text if isinstance(node, Scalar) and isinstance(node.value, bool) else read(node, path, sink)

    return read_word


def few_reader(read: Read) -> Read:
    """For a field whose few values stand in thousands of places: equal ones are one object."""

    def read_few(node: Node, path: str, sink: Sink) -> Any:
        found = read(node, path, sink)
        return intern(found) if isinstance(found, str) else found

    return read_few


def integer_reader(described: inspect.IntType) -> Read:
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


def float_reader(described: inspect.FloatType) -> Read:
    low = float("-inf") if described.ge is None else described.ge
    high = float("inf") if described.le is None else described.le

    def read(node: Node, path: str, sink: Sink) -> Any:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            return sink.invalid(node, path, f"a number, {low:g} to {high:g}")
        return float(value)

    return read


def read_boolean(node: Node, path: str, sink: Sink) -> Any:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    return sink.invalid(node, path, "true or false")


def choice_reader(described: inspect.EnumType | inspect.LiteralType) -> Read:
    if isinstance(described, inspect.EnumType):
        choices: dict[Any, Any] = {member.value: member for member in described.cls}
    else:
        choices = {value: value for value in described.values}
    allowed = "one of " + ", ".join(str(choice) for choice in choices)

    def read(node: Node, path: str, sink: Sink) -> Any:
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value in choices:
            return choices[node.value]
        if isinstance(node, Scalar) and isinstance(node.value, bool) and node.text in choices:
            return choices[node.text]  # YAML 1.1 takes `dns: off` for a boolean; the writer meant the choice
        return sink.invalid(node, path, allowed)

    return read
