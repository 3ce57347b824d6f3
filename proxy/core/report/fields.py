"""The fields of a connection, in order: the one table from which text lines, JSON lines, /connections and reports are
made. The engine renders most lines itself (cext/engine/tell/log.c), to the same bytes: tests/netns/cext compares them.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from proxy.core.lanes import Direction
from proxy.core.report.record import ConnectionRecord


class Kind(Enum):
    """How a value stands in a text line and in JSON."""

    MOMENT = "moment"
    """Seconds since the epoch, shown in UTC with milliseconds; a text line begins with it, without a name."""
    WORD = "word"
    """Never has a blank or a quote in it."""
    COUNT = "count"
    MILLISECONDS = "milliseconds"
    """With three decimals."""
    TEXT = "text"
    """In JSON's quotes where it is empty or has a blank, a quote or an equals sign in it."""


class Field(NamedTuple):
    name: str
    kind: Kind
    of: Callable[[ConnectionRecord], Any]
    logged: bool = True
    """Whether lines of the access log have it."""
    reported: bool = True
    """Whether the objects of /connections and of `run --report` have it."""


def _sent(record: ConnectionRecord) -> int:
    """What the workload sent: it is the client of an outbound and the server of an inbound connection."""
    return record.to_upstream if record.direction is Direction.OUTBOUND else record.to_downstream


def _received(record: ConnectionRecord) -> int:
    return record.to_downstream if record.direction is Direction.OUTBOUND else record.to_upstream


FIELDS = (
    Field("time", Kind.MOMENT, lambda one: one.started_at, reported=False),
    Field("direction", Kind.WORD, lambda one: one.direction),
    Field("downstream", Kind.WORD, lambda one: one.peer),
    Field("original_destination", Kind.WORD, lambda one: one.destination),
    Field("upstream", Kind.WORD, lambda one: one.upstream if one.upstream.ip else "-"),
    Field("protocol", Kind.WORD, lambda one: one.verdict.protocol),
    Field("lane", Kind.WORD, lambda one: one.verdict.lane),
    Field("bytes_sent", Kind.COUNT, _sent),
    Field("bytes_received", Kind.COUNT, _received),
    Field("duration_ms", Kind.MILLISECONDS, lambda one: one.age_s * 1000),
    Field("close_reason", Kind.TEXT, lambda one: one.close_reason or ""),
    Field("lane_reason", Kind.TEXT, lambda one: one.verdict.lane_reason),
    Field("state", Kind.WORD, lambda one: one.state, logged=False),
    Field("age_ms", Kind.MILLISECONDS, lambda one: one.age_s * 1000, logged=False),
    Field("cluster", Kind.TEXT, lambda one: one.verdict.cluster, logged=False),
    Field("service", Kind.TEXT, lambda one: one.verdict.service.host if one.verdict.service else "", logged=False),
)

JsonObject = dict[str, str | int | float]


def report(record: ConnectionRecord) -> JsonObject:
    """The connection object of contract.md, with the keys that /connections adds."""
    return {name: plain(of(record)) for name, plain, of in _REPORTED}


def text_line(record: ConnectionRecord) -> str:
    """`key=value` pairs after the time, without the line's end."""
    return _TEXT_LINE % tuple([of(record) for of in _TEXT_VALUES])


def json_line(record: ConnectionRecord) -> str:
    return _JSON_LINE % tuple([of(record) for of in _JSON_VALUES])


def shown_time(moment: float) -> str:
    milliseconds = int(moment * 1000)
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


_PLAIN: dict[Kind, Callable[[Any], str | int | float]] = {
    Kind.WORD: str,
    Kind.COUNT: int,
    Kind.MILLISECONDS: lambda value: round(value, 3),
    Kind.TEXT: str,
}
_REPORTED = tuple((one.name, _PLAIN[one.kind], one.of) for one in FIELDS if one.reported)

# A proxy that serves ten thousand connections a second writes as many lines: what does not change from one to the next
# is put together once, here, and what recurs in them is rendered once.
_LOGGED = tuple(one for one in FIELDS if one.logged)
_FORMS = {Kind.MOMENT: "%s", Kind.WORD: "%s", Kind.COUNT: "%d", Kind.MILLISECONDS: "%.3f", Kind.TEXT: "%s"}
_TEXT_LINE = " ".join(("" if one.kind is Kind.MOMENT else f"{one.name}=") + _FORMS[one.kind] for one in _LOGGED)
_JSON_LINE = (
    "{"
    + ",".join(
        f'"{one.name}":' + (f'"{_FORMS[one.kind]}"' if one.kind in (Kind.MOMENT, Kind.WORD) else _FORMS[one.kind])
        for one in _LOGGED
    )
    + "}"
)


def _valued(field: Field, quote: Callable[[str], str]) -> Callable[[ConnectionRecord], Any]:
    if field.kind is Kind.MOMENT:
        return lambda record: shown_time(field.of(record))
    return (lambda record: quote(field.of(record))) if field.kind is Kind.TEXT else field.of


_TEXT_VALUES = tuple(_valued(one, in_text) for one in _LOGGED)
_JSON_VALUES = tuple(_valued(one, in_json) for one in _LOGGED)
