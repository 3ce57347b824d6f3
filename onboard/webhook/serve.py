"""The webhook's HTTPS server: bounded in bytes, time and connections, so no caller can make it slow or large.

Each review is answered in this one thread; it costs milliseconds. A certificate file that has changed is taken up for
the next connection, without a restart.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from onboard.webhook.review import NoReview, Settings, answer

LARGEST_BODY = 8 << 20
"""The API server refuses objects above 3 MiB; a review may carry two of them."""
LARGEST_HEAD = 32 << 10
MOST_CONNECTIONS = 128
USUAL_BODY = 256 << 10
"""Larger bodies are read a few at a time, so that memory is bounded and usual ones never wait."""
MOST_LARGE_BODIES = 4
EXCHANGE_S = 10.0
IDLE_S = 60.0
LOOK_S = 5.0
_STATUS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 411: "Length Required"}
_STATUS |= {413: "Content Too Large", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}


class Refused(Exception):
    """Answered with this status, and the connection ends."""

    def __init__(self, status: int) -> None:
        super().__init__(_STATUS[status])
        self.status = status


class _Stops(Protocol):
    async def wait(self) -> object: ...


async def serve(
    address: tuple[str, int],
    files: tuple[Path, Path],
    settings: Settings,
    stopped: _Stops,
    began: Callable[[int], None] = lambda _port: None,
) -> None:
    """Until `stopped`. files: certificate chain and key. began: told the port once connections are taken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*files)
    large = asyncio.Semaphore(MOST_LARGE_BODIES)
    connections: set[asyncio.Task[None]] = set()
    idle: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = _task()
        connections.add(own)
        try:
            # Above the limit a caller learns so at once; the API server then goes by its failurePolicy.
            await _connection(reader, writer, large, idle, settings if len(connections) <= MOST_CONNECTIONS else None)
        finally:
            connections.discard(own)

    server = await asyncio.start_server(
        accept, *address, ssl=context, limit=LARGEST_HEAD, ssl_handshake_timeout=EXCHANGE_S, backlog=256
    )
    renewing = asyncio.ensure_future(_renew(context, files))
    async with server:
        began(server.sockets[0].getsockname()[1])
        await stopped.wait()
        server.close()
        for connection in set(idle):  # the others answer what they were asked, and end
            connection.cancel()
        if connections:
            await asyncio.wait(connections, timeout=EXCHANGE_S)
    renewing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await renewing


async def _renew(context: ssl.SSLContext, files: tuple[Path, Path]) -> None:
    known = _stamp(files)
    while True:
        await asyncio.sleep(LOOK_S)
        now = _stamp(files)
        if now is not None and now != known:
            # Certificate and key are two files; a look between the two changes finds a pair that does not match.
            with contextlib.suppress(ssl.SSLError, OSError):
                context.load_cert_chain(*files)
                known = now


def _stamp(files: tuple[Path, Path]) -> tuple[int, ...] | None:
    try:
        return tuple(part for file in files for part in (file.stat().st_mtime_ns, file.stat().st_ino))
    except OSError:
        return None


async def _connection(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    large: asyncio.Semaphore,
    idle: "set[asyncio.Task[None]]",
    settings: Settings | None,
) -> None:
    own = _task()
    try:
        while True:
            idle.add(own)
            head = await asyncio.wait_for(_head(reader), IDLE_S)
            idle.discard(own)
            if head is None:
                return
            async with asyncio.timeout(EXCHANGE_S):
                method, path, length, keep = _parsed(head)
                async with large if length > USUAL_BODY else contextlib.nullcontext():
                    body = await reader.readexactly(length)
                    status, told = _answered(method, path, body, settings)
                    del body
                await _write(writer, status, told, keep=keep)
            if not keep:
                return
    except Refused as refused:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(EXCHANGE_S):
                await _write(writer, refused.status, str(refused).encode(), keep=False)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        pass  # the caller has gone, or was too slow to be waited for
    finally:
        idle.discard(own)
        writer.close()
        try:
            await asyncio.wait_for(writer.wait_closed(), 1)
        except TimeoutError:
            writer.transport.abort()
        except OSError:
            pass


def _task() -> "asyncio.Task[None]":
    """The one that serves this connection."""
    own = asyncio.current_task()
    if own is None:
        raise RuntimeError("a connection is served by a task of its own")
    return own


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    """Up to the empty line; None: the caller has said nothing more."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise Refused(431) from None
    except asyncio.IncompleteReadError as ended:
        if ended.partial.strip():
            raise Refused(400) from None
        return None


def _parsed(head: bytes) -> tuple[str, str, int, bool]:
    """Method, path, length of the body, whether the connection stays. Content-Length only: the API server sends
    nothing else, and two ways to say a length are one too many."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise Refused(400)
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip() or (name == "content-length" and name in fields):
            raise Refused(400)
        fields[name] = value.strip()
    if "transfer-encoding" in fields:
        raise Refused(411)
    text = fields.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise Refused(400)
    length = int(text[:12])
    if length > LARGEST_BODY or len(text) > 12:
        raise Refused(413)
    if fields.get("expect"):
        raise Refused(400)
    keep = words[2] == "HTTP/1.1" and fields.get("connection", "").lower() != "close"
    return words[0], words[1].partition("?")[0], length, keep


def _answered(method: str, path: str, body: bytes, settings: Settings | None) -> tuple[int, bytes]:
    if settings is None:
        raise Refused(503)
    if path in ("/healthz/ready", "/healthz/live"):
        return (200, b"ok\n") if method == "GET" else (405, b"")
    if path != "/inject":
        return 404, b""
    if method != "POST":
        return 405, b""
    try:
        return 200, answer(body, settings)
    except NoReview as wrong:
        return 400, f"{wrong}\n".encode()[:512]


async def _write(writer: asyncio.StreamWriter, status: int, body: bytes, *, keep: bool) -> None:
    kind = "application/json" if body.startswith(b"{") else "text/plain"
    head = f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    writer.write((head + ("" if keep else "Connection: close\r\n") + "\r\n").encode("ascii") + body)
    await writer.drain()
