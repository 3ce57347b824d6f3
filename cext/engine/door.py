"""The one door by which the engine calls Python: requests that its table can't decide, and heads of answers that a
filter wants to see. docs/adr/0009-the-engine-asks-through-one-door.md says why and within which bounds."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from cext.engine._engine import ffi, lib
from cext.engine.engine import Engine
from cext.engine.layout import socket_address


class ReplyKind(IntEnum):
    FAILED = 0
    """The request gets 500."""
    RULE = 1
    """`rule` takes the request; the engine does what the rule says."""
    NO_RULE = 2
    FORWARD = 3
    """To `backend` of `rule`, with the head that is in `written`."""
    ANSWER = 4
    """`written` is a whole answer; of a question about an answer: its new head."""
    AS_IS = 5
    """The head of an answer stays as it is."""


class Question:
    """A head that the engine asks about. It borrows the engine's memory, so it is good during the call only; what is
    asked of it is copied."""

    __slots__ = ("_asked",)

    def __init__(self, asked: Any) -> None:
        self._asked = asked

    @property
    def site(self) -> int:
        return int(self._asked.site)

    @property
    def tag(self) -> int:
        """What `set_site` was given with the rules by which the request is to be decided."""
        return int(self._asked.tag)

    @property
    def random(self) -> int:
        """By which backends and mirrors are drawn."""
        return int(self._asked.random)

    @property
    def status(self) -> int:
        """Of an answer; 0: a request."""
        return int(self._asked.status)

    @property
    def minor(self) -> int:
        """The version is HTTP/1.minor."""
        return int(self._asked.minor)

    @property
    def context(self) -> int:
        """Of an answer: what the reply to its request said."""
        return int(self._asked.context)

    @property
    def chosen(self) -> tuple[int, int]:
        """Of an answer: the rule and the backend of its request."""
        return int(self._asked.rule), int(self._asked.backend)

    @property
    def method(self) -> bytes:
        return self._bytes(self._asked.method_at, self._asked.method_length)

    @property
    def target(self) -> bytes:
        return self._bytes(self._asked.target_at, self._asked.target_length)

    @property
    def peer(self) -> str:
        """The client's IP; empty: not known."""
        asked = self._asked.peer
        found = socket_address(bytes(asked.ip), asked.zone, asked.port, asked.family)
        return "" if found is None else found.ip

    @property
    def head(self) -> bytes:
        return self._bytes(0, self._asked.head_length)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Names and values of a request, in the order they came."""
        head = self.head
        count = 4 * self._asked.header_count
        numbers = memoryview(ffi.buffer(ffi.cast("uint32_t *", self._asked.headers), 4 * count)).cast("I").tolist()
        starts = iter(numbers)
        return [
            (head[name : name + name_length], head[value : value + value_length])
            for name, name_length, value, value_length in zip(starts, starts, starts, starts, strict=True)
        ]

    def _bytes(self, at: int, length: int) -> bytes:
        return bytes(ffi.buffer(self._asked.head + at, length))


class Reply:
    """Filled during the call."""

    __slots__ = ("_reply",)

    def __init__(self, reply: Any) -> None:
        self._reply = reply

    def say(self, kind: ReplyKind, *, rule: int = -1, backend: int = -1, status: int = 0) -> None:
        self._reply.kind, self._reply.rule, self._reply.backend = int(kind), rule, backend
        self._reply.status = status

    def write(self, data: bytes) -> None:
        """Raises ValueError where it does not fit."""
        if len(data) > self._reply.room:
            raise ValueError(f"{len(data)} bytes for an answer or a head; there is room for {self._reply.room}")
        ffi.memmove(self._reply.out, data, len(data))
        self._reply.written = len(data)

    def watch(self, context: int) -> None:
        """Have the engine ask about the head of the answer, too."""
        self._reply.watches, self._reply.context = 1, context


Decide = Callable[[Question, Reply], None]


class Door:
    """Has to be kept until the engine is closed. `decide` is called in the engine's threads with the interpreter's
    lock; what it raises goes to `failed`, and the request gets 500."""

    def __init__(self, decide: Decide, failed: Callable[[BaseException], None]) -> None:
        self.decide = decide
        self.failed = failed
        self._handle = ffi.new_handle(self)

    def open(self, engine: Engine) -> None:
        """To be called before the first site is set."""
        lib.tg_engine_set_decider(engine.handle, lib.tg_decide, self._handle)

    def asked(self, question: Any, reply: Any) -> None:
        """A tg_question and a tg_reply."""
        try:
            self.decide(Question(question), Reply(reply))
        except BaseException as wrong:  # nothing may go through C
            reply.kind = int(ReplyKind.FAILED)
            self.failed(wrong)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def tg_decide(data: Any, question: Any, reply: Any) -> None:
    ffi.from_handle(data).asked(question, reply)
