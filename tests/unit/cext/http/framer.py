"""cext/engine/http/frame.c for tests: compiled once a session, with its structs in sight."""

import importlib.util
import re
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cffi import FFI

ENGINE = Path(__file__).resolve().parents[4] / "cext" / "engine"
SOURCES = [
    ENGINE / "http" / f"{name}.c" for name in ("frame", "judge", "method", "llhttp_api", "llhttp_states", "cookie")
]
FLAGS = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]


@cache
def library() -> tuple[Any, Any]:
    return compiled("_framer", _declarations("head.h") + _declarations("frame.h"), "frame.h", SOURCES)


def compiled(module_name: str, declared: str, header: str, sources: list[Path]) -> tuple[Any, Any]:
    """A module of some of the sources, made in a folder that is gone afterwards."""
    builder = FFI()
    builder.cdef(declared)
    builder.set_source(
        module_name,
        f'#include "http/{header}"',
        sources=[str(path) for path in sources],
        include_dirs=[str(ENGINE)],
        extra_compile_args=FLAGS,
    )
    with tempfile.TemporaryDirectory() as folder:
        spec = importlib.util.spec_from_file_location(module_name, builder.compile(tmpdir=folder))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.ffi, module.lib


def _declarations(name: str) -> str:
    """What cffi reads of a header: no preprocessor, and the parser's own struct as an unknown one."""
    text = re.sub(r"/\*.*?\*/", "", (ENGINE / "http" / name).read_text(), flags=re.DOTALL)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    opened = re.sub(
        r"struct frame \{.*?\};", "struct frame { enum frame_refusal refusal; ...; };", text, flags=re.DOTALL
    )
    return opened.replace("64 * 1024", "65536")


@dataclass(slots=True)
class Head:
    method: bytes
    target: bytes
    status: int
    reason: bytes
    minor: int
    headers: list[tuple[bytes, bytes]]
    body: str
    content_length: int
    keep_alive: bool
    expects: bool
    upgrade: bool


@dataclass(slots=True)
class Message:
    """One message as it was framed: its head's bytes, its body's bytes as they came, and how it ended."""

    head: Head
    raw_head: bytes
    raw_body: bytes = b""
    end: str = ""


@dataclass(slots=True)
class Framed:
    messages: list[Message] = field(default_factory=list)
    refusal: str = ""
    rest: bytes = b""
    """What stands behind a tunnel's beginning."""


_BODIES = ("none", "length", "chunked", "until-close")
_REFUSALS = ("", "syntax", "framing", "coding", "version", "head-size", "end")


def requests(*pieces: bytes, close: bool = False) -> Framed:
    return _frame("frame_requests", pieces, close, ())


def answers(*pieces: bytes, close: bool = False, to: tuple[bytes, ...] = ()) -> Framed:
    """to: the methods of the requests that are answered, in order."""
    return _frame("frame_answers", pieces, close, to)


def _frame(kind: str, pieces: tuple[bytes, ...], close: bool, to: tuple[bytes, ...]) -> Framed:
    run = _Run(kind, to)
    for piece in pieces:
        left = piece
        while left or run.current is not None:
            taken, goes_on = run.take(left)
            left = left[taken:]
            if not goes_on:
                break
        if run.is_over:
            run.found.rest = left
            return run.found
    if close:
        run.close()
    return run.found


class _Run:
    """A stream that is framed piece by piece, as the engine does it."""

    def __init__(self, kind: str, to: tuple[bytes, ...]) -> None:
        self.ffi, self.lib = library()
        self.frame, self.head = self.ffi.new("struct frame *"), self.ffi.new("struct http_head *")
        getattr(self.lib, kind)(self.frame)
        self.asked = list(to)
        self.expect()
        self.found = Framed()
        self.kept = b""
        self.current: Message | None = None
        self.is_over = False

    def expect(self) -> None:
        if self.asked:
            self.lib.frame_expect(self.frame, self.asked[0] == b"HEAD", self.asked[0] == b"CONNECT")

    def take(self, left: bytes) -> tuple[int, bool]:
        """How many bytes were taken, and whether there is more to do with the rest."""
        step, used = self.in_head(left) if self.current is None else self.in_body(left)
        assert used <= len(left)
        if step == "FRAME_REFUSED":
            self.found.refusal = _REFUSALS[self.frame.refusal]
            again = self.ffi.new("size_t *")
            assert self.lib.frame_pass(self.frame, b"x", 0, 1, again) == self.lib.FRAME_REFUSED
            self.is_over = True
        if step in ("FRAME_MORE", "FRAME_BODY"):
            assert used == len(left)
        return used, step in ("FRAME_HEAD", "FRAME_END")

    def in_head(self, left: bytes) -> tuple[str, int]:
        if not self.kept:
            self.lib.frame_lend(self.frame, self.head)
        step, used = self.passed(self.kept + left, len(self.kept))
        self.kept += left[:used]
        if step == "FRAME_HEAD":
            assert self.head.length == len(self.kept)
            self.current = Message(_head(self.ffi, self.head, self.kept), self.kept)
            self.found.messages.append(self.current)
            self.kept = b""
        return step, used

    def in_body(self, left: bytes) -> tuple[str, int]:
        assert self.current is not None
        step, used = self.passed(left, 0)
        self.current.raw_body += left[:used]
        if step == "FRAME_TUNNEL":
            self.current.end = "tunnel"
            self.is_over = True
        if step == "FRAME_END":
            self.current.end = "end"
            if self.asked and self.current.head.status >= 200:
                self.asked.pop(0)
                self.expect()
            self.current = None
        return step, used

    def passed(self, data: bytes, start: int) -> tuple[str, int]:
        used = self.ffi.new("size_t *")
        step = self.lib.frame_pass(self.frame, data, start, len(data), used)
        return str(self.ffi.string(self.ffi.cast("enum frame_step", step))), int(used[0])

    def close(self) -> None:
        if self.lib.frame_close(self.frame) == self.lib.FRAME_REFUSED:
            self.found.refusal = _REFUSALS[self.frame.refusal]
        elif self.current is not None:
            self.current.end = "close"


def _head(ffi: Any, head: Any, raw: bytes) -> Head:
    def text(span: Any) -> bytes:
        return raw[span.at : span.at + span.length]

    return Head(
        method=text(head.method),
        target=text(head.target),
        status=head.status,
        reason=text(head.reason),
        minor=head.minor,
        headers=[(text(one.name), text(one.value)) for one in head.header[0 : head.headers]],
        body=_BODIES[head.body],
        content_length=head.content_length,
        keep_alive=bool(head.keep_alive),
        expects=bool(head.expects),
        upgrade=bool(head.upgrade),
    )
