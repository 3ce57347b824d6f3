"""Zipkin's B3: one header `b3: TRACE-SPAN[-SAMPLED[-PARENT]]`, or several `X-B3-…`. Traces of 64 bits are filled up
with zeros from the left. A context without a decision counts as unsampled here: we take none for others."""

import re
from collections.abc import Mapping

_SINGLE = re.compile(r"([0-9a-f]{32}|[0-9a-f]{16})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?")
_TRACE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{16}")
_SPAN = re.compile(r"[0-9a-f]{16}")


def parse_single(value: str) -> tuple[bytes, bytes, bool] | None:
    match = _SINGLE.fullmatch(value)
    return None if match is None else _ids(match[1], match[2], match[3] in ("1", "d"))


def parse_headers(headers: Mapping[str, str]) -> tuple[bytes, bytes, bool] | None:
    """headers: by names in lower case."""
    trace, span = headers.get("x-b3-traceid", ""), headers.get("x-b3-spanid", "")
    if _TRACE.fullmatch(trace) is None or _SPAN.fullmatch(span) is None:
        return None
    sampled = headers.get("x-b3-sampled") in ("1", "true") or headers.get("x-b3-flags") == "1"
    return _ids(trace, span, sampled)


def _ids(trace: str, span: str, sampled: bool) -> tuple[bytes, bytes, bool] | None:
    trace_id, span_id = bytes.fromhex(trace.rjust(32, "0")), bytes.fromhex(span)
    return (trace_id, span_id, sampled) if any(trace_id) and any(span_id) else None
