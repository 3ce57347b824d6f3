"""What the kernel's side tells of the direct lane: counts, connections that have ended, those that are open."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from proxy.core.addresses import Address
from proxy.core.close_reason import CloseReason
from proxy.core.lower.kernel_messages import COUNTED, MessageError
from proxy.core.report.counts import EndpointCounts

ROWS = 128
"""In a request: the proxy takes lines of 64 KiB."""
INBOUND = 0
"""In place of a service's number: the workload's own port."""


class Counted(NamedTuple):
    """endpoint: without an address inbound; without address and port for what never came to an endpoint."""

    service: int
    endpoint: Address
    counts: EndpointCounts


class Seen(NamedTuple):
    """A connection. ending None: it is open."""

    service: int
    endpoint: Address
    client: Address
    counts: EndpointCounts
    started_at: float
    age_s: float
    established: bool
    ending: CloseReason | None


@dataclass(frozen=True, slots=True)
class Report:
    """live: those that are open; with `begin` all that are told from here on."""

    counters: tuple[Counted, ...]
    ended: tuple[Seen, ...]
    live: tuple[Seen, ...]
    begin: bool


def requests(
    counters: Sequence[Counted], ended: Sequence[Seen], live: Sequence[Seen] | None
) -> Iterator[dict[str, Any]]:
    """The requests that tell it. live None: what was told of them before still holds."""
    for rows in _in_rows(map(_counter, counters)):
        yield {"op": COUNTED, "counters": rows}
    for rows in _in_rows(map(_connection, ended)):
        yield {"op": COUNTED, "ended": rows}
    if live is not None:
        yield {"op": COUNTED, "begin": True}
        for rows in _in_rows(map(_connection, live)):
            yield {"op": COUNTED, "live": rows}


def _in_rows(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _counter(one: Counted) -> dict[str, Any]:
    return {"service": one.service, "endpoint": list(one.endpoint[:2]), **_moved(one.counts)}


def _connection(one: Seen) -> dict[str, Any]:
    return {
        "service": one.service,
        "endpoint": list(one.endpoint[:2]),
        "client": list(one.client[:2]),
        "started_at": one.started_at,
        "age_s": one.age_s,
        "established": one.established,
        "close_reason": one.ending,
        **_moved(one.counts),
    }


def _moved(counts: EndpointCounts) -> dict[str, int]:
    return {name: value for name, value in asdict(counts).items() if value}


def read(request: Mapping[str, Any]) -> Report:
    """Raises MessageError."""
    begin = request.get("begin", False)
    if not isinstance(begin, bool):
        raise MessageError("'begin' is true or false")
    return Report(
        counters=tuple(
            Counted(_number(row), _address(row, "endpoint"), _counts(row)) for row in _rows(request, "counters")
        ),
        ended=tuple(map(_seen, _rows(request, "ended"))),
        live=tuple(map(_seen, _rows(request, "live"))),
        begin=begin,
    )


def _seen(row: Mapping[str, Any]) -> Seen:
    try:
        ending = None if row.get("close_reason") is None else CloseReason(row["close_reason"])
        started_at, age_s = float(row["started_at"]), float(row["age_s"])
        if not (math.isfinite(started_at) and math.isfinite(age_s)):
            raise ValueError("a time is no number")
    except (KeyError, TypeError, ValueError) as wrong:
        raise MessageError(f"a connection's record lacks something: {wrong}") from None
    return Seen(
        service=_number(row),
        endpoint=_address(row, "endpoint"),
        client=_address(row, "client"),
        counts=_counts(row),
        started_at=started_at,
        age_s=age_s,
        established=row.get("established") is True,
        ending=ending,
    )


def _rows(request: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = request.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MessageError(f"{key!r} is a list of objects")
    return rows


def _number(row: Mapping[str, Any]) -> int:
    number = row.get("service")
    if type(number) is not int:
        raise MessageError("'service' is a number")
    return number


def _counts(row: Mapping[str, Any]) -> EndpointCounts:
    try:
        return EndpointCounts.of(row)
    except ValueError as wrong:
        raise MessageError(str(wrong)) from None


def _address(row: Mapping[str, Any], key: str) -> Address:
    value = row.get(key)
    if not isinstance(value, list) or len(value) != 2 or type(value[0]) is not str or type(value[1]) is not int:
        raise MessageError(f"{key!r} is an address and a port")
    return Address(value[0], value[1])
