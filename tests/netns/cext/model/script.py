"""What clients ask and what the server does then, as values; and what a client must hear for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hypothesis import strategies as st


class Does(Enum):
    """What the server does with one request."""

    LENGTH = "length"
    CHUNKS = "chunks"
    HINTS = "hints"  # 103, then as LENGTH
    DRIPS = "drips"  # as LENGTH, in pieces
    WAITS = "waits"
    EARLY = "early"  # answers before it has read the body
    EMPTY = "empty"  # 204
    UNCHANGED = "unchanged"  # 304, with the length of what it doesn't send
    UNTIL_CLOSE = "until-close"
    SAYS_CLOSE = "says-close"
    LEAVES = "leaves"  # answers, and closes without having said so
    HANGS_UP = "hangs-up"  # closes instead of answering
    RESETS = "resets"  # resets instead of answering
    NONSENSE = "nonsense"  # says something that is no HTTP
    CUT = "cut"  # closes within the body
    BROKEN = "broken"  # resets within the body


class Ends(Enum):
    """What a client hears for a request."""

    WHOLE = "whole"  # the server's answer
    LAST = "last"  # the server's answer, and the end of the connection
    PART = "part"  # a beginning of the server's answer, and the end
    OURS_502 = "502"
    OURS_503 = "503"


_ENDS = {
    Does.UNTIL_CLOSE: Ends.LAST,
    Does.SAYS_CLOSE: Ends.LAST,
    Does.CUT: Ends.PART,
    Does.BROKEN: Ends.PART,
    Does.HANGS_UP: Ends.OURS_503,
    Does.RESETS: Ends.OURS_503,
    Does.NONSENSE: Ends.OURS_502,
}


_WITHIN_BODY = (Does.UNTIL_CLOSE, Does.CUT, Does.BROKEN)


@dataclass(frozen=True)
class Request:
    does: Does
    method: str
    size: int
    """Of the answer's body."""
    body: int
    """Bytes that are sent."""
    chunked: bool

    @property
    def ends(self) -> Ends:
        if self.method == "HEAD" and self.does in _WITHIN_BODY:
            return Ends.WHOLE  # there is no body that could be cut
        return _ENDS.get(self.does, Ends.WHOLE)

    @property
    def leaves(self) -> bool:
        """The server closes the connection, and has not said so: who sends next on it may lose the request."""
        return self.does is Does.LEAVES or (self.method == "HEAD" and self.does in _WITHIN_BODY)

    @property
    def status(self) -> int:
        """Of the server's answer."""
        return {Does.EMPTY: 204, Does.UNCHANGED: 304}.get(self.does, 200)

    @property
    def repeats(self) -> bool:
        """May be sent a second time: it is idempotent, and not too large to be kept (64 KiB)."""
        return self.method != "POST" and len(self.wire(10**6)) < 1 << 16

    def wire(self, number: int) -> bytes:
        head = f"{self.method} /{number}/{self.does.value}/{self.size} HTTP/1.1\r\nHost: model\r\n"
        body = b"%d," % number * (self.body // 2)
        if not body:
            return f"{head}\r\n".encode()
        if self.chunked:
            cut = len(body) // 2
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
            return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answer(number: int, does: Does, size: int, method: str) -> bytes:
    """What the server says to a request, as far as it says it whole."""
    start = b"HTTP/1.1 200 OK\r\nX-Number: %d\r\n" % number
    body = (b"%d." % number * size)[:size]
    if does is Does.EMPTY:
        return b"HTTP/1.1 204 No Content\r\nX-Number: %d\r\n\r\n" % number
    if does is Does.UNCHANGED:
        return b"HTTP/1.1 304 Not Modified\r\nX-Number: %d\r\nContent-Length: %d\r\n\r\n" % (number, size)
    if does is Does.UNTIL_CLOSE:
        head = start + b"\r\n"
    elif does is Does.CHUNKS:
        head = start + b"Transfer-Encoding: chunked\r\n\r\n"
        body = (
            b"".join(b"%x;n=%d\r\n%b\r\n" % (len(part), number, part) for part in halves(body)) + b"0\r\nT: x\r\n\r\n"
        )
    else:
        close = b"Connection: close\r\n" if does is Does.SAYS_CLOSE else b""
        head = start + close + b"Content-Length: %d\r\n\r\n" % size
    if does is Does.HINTS:
        head = b"HTTP/1.1 103 Early Hints\r\nX-Number: %d\r\n\r\n" % number + head
    return head if method == "HEAD" else head + body


def halves(body: bytes) -> list[bytes]:
    return [part for part in (body[: len(body) // 2], body[len(body) // 2 :]) if part]


@dataclass(frozen=True)
class Client:
    """Sends the requests of a batch without waiting, and reads their answers before the next batch."""

    batches: tuple[tuple[Request, ...], ...]
    cut: int
    """Bytes that it sends at a time."""
    half_closes: bool
    """Behind its last request."""


REQUEST = st.builds(
    Request,
    does=st.sampled_from([*Does, *[Does.LENGTH, Does.CHUNKS, Does.DRIPS] * 3]),
    method=st.sampled_from(["GET", "GET", "POST", "PUT", "HEAD"]),
    size=st.one_of(st.integers(1, 300), st.integers(60_000, 140_000)),
    body=st.one_of(st.just(0), st.integers(2, 200), st.just(90_000)),
    chunked=st.booleans(),
)
CLIENT = st.builds(
    Client,
    batches=st.lists(st.lists(REQUEST, min_size=1, max_size=4).map(tuple), min_size=1, max_size=3).map(tuple),
    cut=st.sampled_from([1 << 20, 1 << 20, 1000, 37]),
    half_closes=st.booleans(),
)
CLIENTS = st.lists(CLIENT, min_size=1, max_size=4)
