"""W3C Trace Context: `traceparent: 00-TRACE-PARENT-FLAGS`. `tracestate` is passed on as it came."""

import re

_VALUE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def parse(value: str) -> tuple[bytes, bytes, bool] | None:
    """Trace, parent, and whether it is sampled. None: it is no valid one. Later versions may append more."""
    match = _VALUE.fullmatch(value)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5] is not None):
        return None
    trace_id, parent_id = bytes.fromhex(match[2]), bytes.fromhex(match[3])
    if not any(trace_id) or not any(parent_id):
        return None
    return trace_id, parent_id, bool(int(match[4], 16) & 1)


def render(trace_id: bytes, span_id: bytes, sampled: bool) -> str:
    return f"00-{trace_id.hex()}-{span_id.hex()}-{int(sampled):02x}"
