"""Requests out of bytes, one at a time: httptools parses, and what follows a complete request is left for later."""

from http import HTTPStatus

import httptools

from proxy.admin.messages import Request
from proxy.core.addresses import Address

MAX_REQUEST = 64 * 1024
"""Bytes of one request, head and body."""
_TOO_LARGE = f"a request has at most {MAX_REQUEST} bytes"
_END_OF_HEAD = b"\r\n\r\n"


class Refused(Exception):
    """The client sent what we don't take; it gets the status and the text, and the connection ends."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class RequestReader:
    """One client's requests. No input makes it raise anything but Refused; after that it must not be used again."""

    _tail = b""
    """The end of what was read, of which a part of the end of a head may be."""

    def __init__(self, peer: Address, local: Address) -> None:
        self._peer = peer
        self._local = local
        self._parser = httptools.HttpRequestParser(self)
        self.keep_alive = False
        """Of the last request: whether the client may send another one."""
        self.knows_chunks = False
        """Of the last request: whether the client understands chunked encoding."""
        self._clear()

    @property
    def begun(self) -> bool:
        """Whether a part of a request is there."""
        return self._taken > 0

    def read(self, data: bytes) -> tuple[Request | None, bytes]:
        """The next request, if `data` completes it, and the bytes that follow it; without a request, none are left."""
        while data and not self._complete:
            size = self._next_piece(data)
            piece, data = data[:size], data[size:]
            self._taken += size
            self._tail = (self._tail + piece)[-len(_END_OF_HEAD) + 1 :]
            self._parse(piece)
            if self._taken > MAX_REQUEST:
                raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
        return (self._request(), data) if self._complete else (None, data)

    def _next_piece(self, data: bytes) -> int:
        """How many bytes the parser may get without running into the request after this one: it would parse all that
        it is given, and a client chooses how much that is."""
        if self._body_left:
            size = min(len(data), self._body_left)
            self._body_left -= size
            return size
        found = (self._tail + data).find(_END_OF_HEAD)
        return len(data) if found < 0 else found + len(_END_OF_HEAD) - len(self._tail)

    def _parse(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            # Answered as if no upgrade had been asked for. The parser takes no further bytes after it.
            self._complete, self._upgrade = True, True
        except httptools.HttpParserError as wrong:
            refused = wrong.__context__
            if isinstance(refused, Refused):
                raise refused from None
            raise Refused(HTTPStatus.BAD_REQUEST, f"not HTTP: {wrong}") from None

    # What the parser calls.
    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        self._hosts += key == "host"
        self._headers[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if "transfer-encoding" in self._headers:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "a body needs a Content-Length here")
        self._body_left = int(self._headers.get("content-length", "0"))  # the parser has checked that it is a number
        if self._body_left > MAX_REQUEST:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._complete = True

    def _request(self) -> Request:
        self.knows_chunks = self._parser.get_http_version() == "1.1"
        if self._hosts > 1 or (self._hosts == 0 and self.knows_chunks):
            raise Refused(HTTPStatus.BAD_REQUEST, "exactly one Host header is needed")
        try:
            url = httptools.parse_url(self._url)
        except httptools.HttpParserError:
            raise Refused(HTTPStatus.BAD_REQUEST, "the request target is not a URL") from None
        self.keep_alive = self._parser.should_keep_alive() and not self._upgrade
        found = Request(
            method=self._parser.get_method().decode("ascii", "replace"),
            path=(url.path or b"/").decode("latin-1"),
            query=(url.query or b"").decode("latin-1"),
            headers=self._headers,
            body=self._body,
            peer=self._peer,
            local=self._local,
        )
        self._clear()
        return found

    def _clear(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = b""
        self._hosts = 0
        self._taken = 0
        self._body_left = 0
        self._tail = b""
        self._complete = False
        self._upgrade = False
