"""A table of fields, and what is made of it: text lines, JSON lines, and objects for reports."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

R = TypeVar("R")


class Kind(Enum):
    """How a value stands in a text line and in JSON."""

    MOMENT = "moment"
    """Seconds since the epoch, shown in UTC with milliseconds; a text line begins with it, without a name."""
    WORD = "word"
    """Never has a blank or a quote in it."""
    COUNT = "count"
    MILLISECONDS = "milliseconds"
    """With three decimals. None: `-`, in JSON null."""
    TEXT = "text"
    """In JSON's quotes where it is empty or has a blank, a quote or an equals sign in it."""


class Field(NamedTuple, Generic[R]):
    name: str
    kind: Kind
    of: Callable[[R], Any]
    logged: bool = True
    """Whether lines of the access log have it."""
    reported: bool = True
    """Whether the objects of admin endpoints and of `run --report` have it."""


JsonObject = dict[str, str | int | float | None]


class Table(Generic[R]):
    """A proxy that serves ten thousand requests a second writes as many lines: what does not change from one to the
    next is put together once, and what recurs in them is rendered once."""

    def __init__(self, fields: Sequence[Field[R]]) -> None:
        self.fields = tuple(fields)
        logged = [one for one in fields if one.logged]
        self._reported = tuple((one.name, _PLAIN[one.kind], one.of) for one in fields if one.reported)
        self._text = " ".join(("" if one.kind is Kind.MOMENT else f"{one.name}=") + _FORMS[one.kind] for one in logged)
        self._json = "{" + ",".join(f'"{one.name}":' + _json_form(one.kind) for one in logged) + "}"
        self._text_values = tuple(_valued(one, in_text, "-") for one in logged)
        self._json_values = tuple(_valued(one, in_json, "null") for one in logged)

    def report(self, record: R) -> JsonObject:
        return {name: plain(of(record)) for name, plain, of in self._reported}

    def text_line(self, record: R) -> str:
        """`key=value` pairs after the time, without the line's end."""
        return self._text % tuple([of(record) for of in self._text_values])

    def json_line(self, record: R) -> str:
        return self._json % tuple([of(record) for of in self._json_values])


def shown_time(moment: float) -> str:
    # Half a microsecond more: a float is a little off, and a millisecond that is full would look like the one before.
    milliseconds = int(moment * 1000 + 0.0005)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=4096)
def in_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=4096)
def in_text(value: str) -> str:
    return in_json(value) if not value or any(c in value for c in ' "=') else value


@lru_cache(maxsize=64)
def _second(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S}"


_PLAIN: dict[Kind, Callable[[Any], str | int | float | None]] = {
    Kind.MOMENT: shown_time,
    Kind.WORD: str,
    Kind.COUNT: int,
    Kind.MILLISECONDS: lambda value: None if value is None else round(value, 3),
    Kind.TEXT: str,
}
_FORMS = {Kind.MOMENT: "%s", Kind.WORD: "%s", Kind.COUNT: "%d", Kind.MILLISECONDS: "%s", Kind.TEXT: "%s"}


def _json_form(kind: Kind) -> str:
    return f'"{_FORMS[kind]}"' if kind in (Kind.MOMENT, Kind.WORD) else _FORMS[kind]


def _valued(field: Field[R], quote: Callable[[str], str], none: str) -> Callable[[R], Any]:
    of = field.of
    if field.kind is Kind.MOMENT:
        return lambda record: shown_time(of(record))
    if field.kind is Kind.MILLISECONDS:
        return lambda record: none if (value := of(record)) is None else f"{value:.3f}"
    return (lambda record: quote(of(record))) if field.kind is Kind.TEXT else of
