"""cext/engine/trace/trace.c for tests, on heads put together here."""

import re
from functools import cache
from typing import Any

from tests.unit.cext.http.framer import ENGINE, compiled

LINE = 70


@cache
def library() -> tuple[Any, Any]:
    declared = "".join(_declarations(name) for name in ("http/head.h", "trace/trace.h"))
    return compiled("_tracer", declared, "../trace/trace.h", [ENGINE / "trace" / "trace.c"])


def _declarations(name: str) -> str:
    text = re.sub(r"/\*.*?\*/", "", (ENGINE / name).read_text(), flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def head_of(headers: list[tuple[bytes, bytes]]) -> tuple[Any, bytearray]:
    ffi, _ = library()
    raw = bytearray(b"GET / HTTP/1.1\r\n")
    head = ffi.new("struct http_head *")
    for name, value in headers:
        one = head.header[head.headers]
        one.name.at, one.name.length = len(raw), len(name)
        one.value.at, one.value.length = len(raw) + len(name) + 2, len(value)
        raw += name + b": " + value + b"\r\n"
        head.headers += 1
    return head, raw + b"\r\n"


def found(headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes, bool] | None:
    ffi, lib = library()
    head, raw = head_of(headers)
    trace = ffi.new("struct trace *")
    lib.trace_find(head, ffi.from_buffer(raw), trace)
    if not trace.is_known:
        return None
    return bytes(trace.trace_id), bytes(trace.parent_id), bool(trace.is_sampled)


def continued(headers: list[tuple[bytes, bytes]], span_id: bytes) -> bytes:
    """The head's bytes afterwards."""
    ffi, lib = library()
    head, raw = head_of(headers)
    trace = ffi.new("struct trace *")
    lib.trace_find(head, ffi.from_buffer(raw), trace)
    lib.trace_continue(trace, ffi.from_buffer(raw, require_writable=True), span_id)
    return bytes(raw)


def line(trace_id: bytes, span_id: bytes, sampled: bool) -> bytes:
    ffi, lib = library()
    out = ffi.new("char[]", LINE)
    lib.trace_line(out, trace_id, span_id, sampled)
    return bytes(ffi.buffer(out))
