"""Which trace a request belongs to, from the headers that it came with."""

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.core.trace import b3, w3c


@dataclass(frozen=True, slots=True)
class TraceContext:
    trace_id: bytes
    parent_id: bytes
    """The caller's span."""
    sampled: bool


def context(headers: Iterable[tuple[str, str]]) -> TraceContext | None:
    """`traceparent` wins over `b3`, that over `X-B3-…`. What stands there twice, or is malformed, counts as absent."""
    found: dict[str, str | None] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = None if key in found else value
    parsed = (
        w3c.parse(found.get("traceparent") or "")
        or b3.parse_single(found.get("b3") or "")
        or b3.parse_headers({name: value for name, value in found.items() if value is not None})
    )
    return None if parsed is None else TraceContext(*parsed)
