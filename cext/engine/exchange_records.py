"""The layout of the engine's records of requests, and of their counters, as values."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from cext.engine._engine import ffi, lib
from cext.engine.layout import certain, known_address, socket_address
from cext.engine.values import SocketAddress

FLAGS = (
    "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX",
    "DC", "URX", "SI", "IH", "DPE", "UMSDR", "DT", "UPE", "NC", "OM", "DO",
)  # fmt: skip
"""Envoy's response flags: the bits of enum tg_exchange_flag, from the lowest on."""

UNSAMPLED, SAMPLED = 1, 2
"""Of `ExchangeRecord.traced`; 0: no trace is known of."""


class ExchangeRecord(NamedTuple):
    """One request and its answer. Texts are the peer's bytes, cut where they were long."""

    scope: int
    id: int
    connection: int
    verdict: int
    site: int
    group: int
    started_us: int
    """Since the epoch."""
    duration_us: int
    upstream_us: int | None
    proxy_us: int
    request_bytes: int
    response_bytes: int
    peer: SocketAddress
    original: SocketAddress | None
    upstream: SocketAddress | None
    rule: int
    backend: int
    flags: int
    attempts: int
    status: int
    major: int
    minor: int
    inbound: bool
    grpc: int | None
    traced: int
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    """The three are zeros where there is none."""
    method: bytes
    authority: bytes
    target: bytes
    service: bytes
    route: bytes


class SeriesCounts(NamedTuple):
    """What is counted of requests that are told about alike, by one worker. Buckets are not cumulative."""

    number: int
    """Of the series, for as long as the engine lives."""
    service: str
    route: str
    group: int
    scope: int
    flags: int
    status: int
    """Below 100: the hundreds of statuses that are no longer told apart; 0 also where no answer was begun."""
    grpc: int | None
    major: int
    inbound: bool
    requests: int
    answered: int
    attempts: int
    duration_us: int
    upstream_us: int
    proxy_us: int
    request_bytes: int
    response_bytes: int
    durations: tuple[int, ...]
    upstream_times: tuple[int, ...]
    request_sizes: tuple[int, ...]
    response_sizes: tuple[int, ...]
    proxy_times: tuple[int, ...]


_ADDRESS = "16sIHH"
HEAD = struct.Struct(f"=2I7Qq3Q{_ADDRESS}{_ADDRESS}{_ADDRESS}4IH3Bb2B16s8s8s5H6x")
SERIES = struct.Struct("=Q2QQ2IHhHH8Q20Q20Q20Q20Q12Q")
for _layout, _name in ((HEAD, "tg_exchange_record"), (SERIES, "tg_exchange_counters")):
    if _layout.size != ffi.sizeof(_name):
        raise ImportError(f"exchange_records.py and engine.h disagree about {_name}: rebuild the extension")
if len(FLAGS) != lib.TG_FLAGS:
    raise ImportError("exchange_records.py and engine.h disagree about the response flags: rebuild the extension")


def heads(batch: bytes) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Where each record's texts begin, and its unpacked fields: for a look at many of which few are wanted."""
    at = 0
    while at < len(batch):
        fields = HEAD.unpack_from(batch, at)
        yield at + HEAD.size, fields
        at += fields[0]


def records(batch: bytes) -> Iterator[ExchangeRecord]:
    return (record(batch, at, fields) for at, fields in heads(batch))


def record(batch: bytes, at: int, fields: tuple[Any, ...]) -> ExchangeRecord:
    """One of `heads`, with its texts."""
    (_, scope, id_, connection, verdict, site, group, started, duration, upstream_us, proxy, sent, received) = fields[
        :13
    ]
    peer, original, upstream = fields[13:17], fields[17:21], fields[21:25]
    (rule, backend, flags, attempts, status, major, minor, inbound, grpc, traced, _) = fields[25:36]
    texts = []
    for length in fields[39:44]:
        texts.append(batch[at : at + length])
        at += length
    return ExchangeRecord(
        scope, id_, connection, verdict, site, group, started, duration, upstream_us if upstream_us >= 0 else None,
        proxy, sent, received, certain(socket_address(*peer)), known_address(*original), known_address(*upstream),
        rule, backend, flags, attempts, status, major, minor, bool(inbound), grpc if grpc >= 0 else None, traced,
        *fields[36:39], *texts,
    )  # fmt: skip


def series_counts(rows: Any, count: int) -> list[SeriesCounts]:
    return [_series(fields) for fields in SERIES.iter_unpack(ffi.buffer(rows, count * SERIES.size))]


def _series(fields: tuple[Any, ...]) -> SeriesCounts:
    number, service, route, group, scope, flags, status, grpc, major, inbound = fields[:10]
    return SeriesCounts._make(
        (
            number, _text(service), _text(route), group, scope, flags, status, grpc if grpc >= 0 else None,
            major, bool(inbound), *fields[10:18],
            fields[18:38], fields[38:58], fields[58:78], fields[78:98], fields[98:110],
        )
    )  # fmt: skip


def _text(pointer: int) -> str:
    found: bytes = ffi.string(ffi.cast("const char *", pointer))
    return found.decode("utf-8", "backslashreplace")
