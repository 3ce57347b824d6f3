"""A small HTTP/1.1 server for the admin and telemetry endpoints: httptools parses, a function answers."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import httptools

MAX_REQUEST = 64 * 1024
"""Bytes of one request, head and body."""
_TOO_LARGE = f"a request has at most {MAX_REQUEST} bytes"
REQUEST_S = 10.0
"""A request has to be there completely within this time, and an idle kept-alive connection is closed after it."""
LINGER_S = 1.0
"""How long a refused client may go on sending. Closing over what it sent would reset the connection, and the reset
would overtake our answer."""
MAX_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """Names in lower case; of a repeated header the last."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


Answer = Callable[[Request], Response]
"""Gets a well-formed request; must not raise and must not wait."""


class _Refused(Exception):
    """Raised inside a parser callback; the parser hands it on as the context of its own error."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class HttpServerConnection(asyncio.Protocol):
    """One client. Its requests are answered in order; whatever it does wrong ends the connection with a 4xx.

    open_connections is shared by the connections of one endpoint, and bounds them.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, answer: Answer, open_connections: set["HttpServerConnection"]
    ) -> None:
        self._loop = loop
        self._answer = answer
        self._open = open_connections
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._refused = False
        self._unfinished = 0  # bytes since the last complete request: the parser itself keeps headers of any length
        self._clear()

    # What the event loop calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)
        if len(self._open) > MAX_CONNECTIONS:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections to this endpoint")
        else:
            self._restart_timer()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._transport = None
        self._open.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        """The client sends requests without reading the answers: take no more until it does."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unfinished += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Answered as an ordinary request already; the parser takes no further bytes after it.
            if self._transport is not None:
                self._transport.close()
            return
        except httptools.HttpParserError as wrong:
            refused = wrong.__context__
            if isinstance(refused, _Refused):
                self._refuse(refused.status, str(refused))
            else:
                self._refuse(HTTPStatus.BAD_REQUEST, f"not HTTP: {wrong}")
            return
        if self._unfinished > MAX_REQUEST:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)

    # What the parser calls.
    def on_url(self, url: bytes) -> None:
        self._url += url
        self._size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        self._hosts += key == "host"
        self._headers[key] = value.decode("latin-1")
        self._size += len(name) + len(value)

    def on_message_complete(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return  # pipelined behind a request that ended the connection
        if self._size > MAX_REQUEST:
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
        if self._hosts > 1 or (self._hosts == 0 and self._parser.get_http_version() == "1.1"):
            raise _Refused(HTTPStatus.BAD_REQUEST, "exactly one Host header is needed")
        try:
            url = httptools.parse_url(self._url)
        except httptools.HttpParserError:
            raise _Refused(HTTPStatus.BAD_REQUEST, "the request target is not a URL") from None
        request = Request(
            method=self._parser.get_method().decode("ascii", "replace"),
            path=(url.path or b"/").decode("latin-1"),
            query=(url.query or b"").decode("latin-1"),
            headers=self._headers,
        )
        self._send(self._answer(request), keep=self._parser.should_keep_alive(), with_body=request.method != "HEAD")
        self._unfinished = 0
        self._clear()
        self._restart_timer()

    def _clear(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._hosts = 0
        self._size = 0

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._refused = True
        self._write(Response(status, text.encode() + b"\n"), keep=False, with_body=True)
        self._transport.write_eof()
        self._loop.call_later(LINGER_S, self._transport.abort)

    def _send(self, response: Response, *, keep: bool, with_body: bool) -> None:
        if self._transport is None:
            return
        self._write(response, keep=keep, with_body=with_body)
        if not keep:
            self._transport.close()

    def _write(self, response: Response, *, keep: bool, with_body: bool) -> None:
        head = [
            f"HTTP/1.1 {int(response.status)} {HTTPStatus(response.status).phrase}",
            f"content-type: {response.content_type}",
            f"content-length: {len(response.body)}",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            *(f"{name}: {value}" for name, value in response.headers),
            f"connection: {'keep-alive' if keep else 'close'}",
        ]
        if self._transport is not None:
            body = response.body if with_body else b""
            self._transport.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body)

    def _restart_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(REQUEST_S, self._too_slow)

    def _too_slow(self) -> None:
        if self._transport is None:
            return
        if self._unfinished:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request was not complete within {REQUEST_S:g} s")
        else:
            self._transport.abort()  # not close(): a client that does not read would keep us waiting for ever
