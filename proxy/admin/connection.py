"""One HTTP client of an endpoint. It gets one answer at a time: while one is on its way nothing more is read."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, cast

from proxy.admin.messages import Answer, Later, Request, Response, Stream
from proxy.admin.reader import Refused, RequestReader
from proxy.admin.stream import ClientSink
from proxy.core.addresses import Address

REQUEST_S = 10.0
"""A request has to be there completely within this time, an answer has to be taken within it, and an idle kept-alive
connection is closed after it."""
LINGER_S = 1.0
"""How long a refused client may go on sending. Closing over what it sent would reset the connection, and the reset
would overtake our answer."""

_log = logging.getLogger("tidegate.admin")


class Endpoint(Protocol):
    """What a connection needs of the endpoint that it belongs to."""

    buffer: memoryview
    """Where what arrives is put; one for all connections, for each takes its part out at once."""
    answer: Answer
    keeps_clients: bool
    """Whether a connection may carry a further request."""

    def opened(self, connection: "HttpServerConnection") -> None: ...
    def waits(self, connection: "HttpServerConnection") -> None:
        """The client has not taken its answer yet."""

    def may_stream(self) -> bool: ...
    def closed(self, connection: "HttpServerConnection") -> None: ...


class HttpServerConnection(asyncio.BufferedProtocol):
    """Requests are answered in order, at most one in a turn of the loop. A client's error ends it with a 4xx."""

    def __init__(self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, peer: Address, local: Address) -> None:
        self.peer = peer
        self.streaming = False
        self._loop = loop
        self._endpoint = endpoint
        self._reader = RequestReader(peer, local)
        self._pending = b""
        self._busy = False
        self._refused = False
        self._keep = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._end_stream: Callable[[], None] | None = None
        self._coming: asyncio.Task[None] | None = None

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not taken."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)  # to be told when an answer has gone, and not before
        self._restart_timer()
        self._endpoint.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._end_stream is not None:
            self._end_stream()
        if self._coming is not None:
            self._coming.cancel()
        self._endpoint.closed(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        return self._endpoint.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._refused or self.streaming:
            return
        self._pending += self._endpoint.buffer[:nbytes]
        if not self._busy:
            self._advance()

    def pause_writing(self) -> None:
        pass  # `_send` looks by itself

    def resume_writing(self) -> None:
        """All that was written has gone."""
        if self._busy and not self.streaming:
            self._answered()

    def _advance(self) -> None:
        """Answer the next request, if it is there."""
        if self._transport is None or self._transport.is_closing() or self._busy:
            return
        try:
            request, self._pending = self._reader.read(self._pending)
            if request is None:
                self._transport.resume_reading()
                return
            self._keep = self._reader.keep_alive and self._endpoint.keeps_clients
            self._busy = True
            self._transport.pause_reading()
            answer = self._answer_to(request)
            if isinstance(answer, Stream):
                if not self._endpoint.may_stream():
                    raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many streams at once")
                self._stream(answer, with_body=request.method != "HEAD")
                return
        except Refused as refused:
            self._refuse(refused)
            return
        if isinstance(answer, Later):
            self._coming = self._loop.create_task(self._send_later(answer, request))
            return
        self._send(answer, with_body=request.method != "HEAD")

    async def _send_later(self, answer: Later, request: Request) -> None:
        try:
            response = await answer.response
        except Exception:
            response = _failed(request)
        self._send(response, with_body=request.method != "HEAD")

    def _answer_to(self, request: Request) -> Response | Stream | Later:
        """An endpoint that fails is a defect of ours: it is logged, and costs its client an answer, not the proxy."""
        try:
            return self._endpoint.answer(request)
        except Exception:
            return _failed(request)

    def _send(self, response: Response, *, with_body: bool) -> None:
        if self._transport is None:
            return
        head = _head(response, (f"content-length: {len(response.body)}",), keep=self._keep)
        self._transport.writelines([head, response.body] if with_body and response.body else [head])
        if not self._keep:
            self._transport.close()
        self._restart_timer()
        if self.unsent:
            self._endpoint.waits(self)
        elif self._keep:
            self._answered()

    def _answered(self) -> None:
        """Everybody else has a turn before this client's next request."""
        self._busy = False
        self._restart_timer()
        self._loop.call_soon(self._advance)

    def _stream(self, stream: Stream, *, with_body: bool) -> None:
        if self._transport is None:
            return
        started = Response(HTTPStatus.OK, b"", stream.content_type)
        chunked = self._reader.knows_chunks
        framing = ("transfer-encoding: chunked",) if chunked else ()
        self._transport.write(_head(started, framing, keep=False))
        if not with_body:
            self._transport.close()
            return
        if self._timer is not None:
            self._timer.cancel()
        self.streaming = True
        self._pending = b""
        self._transport.resume_reading()  # to notice when the client goes
        sink = ClientSink(self._write, lambda: self.unsent, stream.missed, chunked=chunked)
        self._end_stream = stream.subscribe(sink)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _refuse(self, refused: Refused) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._refused = True
        self._pending = b""
        body = str(refused).encode() + b"\n"
        response = Response(refused.status, body)
        self._transport.writelines([_head(response, (f"content-length: {len(body)}",), keep=False), body])
        self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(LINGER_S, self._transport.abort)

    def _restart_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(REQUEST_S, self._too_slow)

    def _too_slow(self) -> None:
        if self._reader.begun and not self._busy:
            self._refuse(Refused(HTTPStatus.REQUEST_TIMEOUT, f"the request was not complete within {REQUEST_S:g} s"))
        else:
            self.abort()  # not close(): a client that does not read would keep us waiting for ever


def _failed(request: Request) -> Response:
    """Called where an exception is handled."""
    _log.exception("%s %s failed", request.method, request.path)
    return Response(HTTPStatus.INTERNAL_SERVER_ERROR, b"this endpoint failed; the proxy's log has the reason\n")


def _head(response: Response, framing: tuple[str, ...], *, keep: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {int(response.status)} {HTTPStatus(response.status).phrase}",
        f"content-type: {response.content_type}",
        *framing,
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        *(f"{name}: {value}" for name, value in response.headers),
        f"connection: {'keep-alive' if keep else 'close'}",
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
