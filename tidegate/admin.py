"""Asks a running proxy at its admin address."""

import http.client
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from tidegate.errors import Failed, Forbidden, Refused, Unreachable

DEFAULT = "127.0.0.1:15000"
TIMEOUT_S = 5.0
Query = dict[str, str] | Sequence[tuple[str, str]]
CHANGE_S = 30.0
"""A large configuration takes seconds to be published."""


class Admin:
    """address: `IP:PORT`, IPv6 in brackets. Methods raise Unreachable (no proxy answers there) and Refused (it answers
    that the question is wrong)."""

    def __init__(self, address: str, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit():
            raise Refused(f"--admin: {address!r} is not valid: expected IP:PORT or [IPV6]:PORT")
        self._host, self._port = host.strip("[]"), int(port)
        self._address = address

    def get(self, path: str, /, **query: str) -> Any:
        """The JSON that stands at a path."""
        with self._asked(path, query) as answer:
            return json.load(answer)

    def text(self, path: str) -> str:
        """What stands at a path, whatever its status is."""
        with self._asked(path, {}, refuse=False) as answer:
            return answer.read().decode("utf-8", "replace")

    def get_all(self, path: str, query: Sequence[tuple[str, str]]) -> Any:
        """The same, where a key of the query may be repeated."""
        with self._asked(path, query) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> str:
        """Has something changed, and returns what is said about it. Raises Forbidden and Failed as well."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=CHANGE_S)
        try:
            connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            said = answer.read().decode("utf-8", "replace").strip()
        except (OSError, http.client.HTTPException) as failed:
            raise Unreachable(self._address, failed) from None
        finally:
            connection.close()
        match answer.status:
            case http.client.OK:
                return said
            case http.client.FORBIDDEN:
                raise Forbidden(said)
            case http.client.BAD_REQUEST:
                raise Refused(said)
        raise Failed(said)

    def lines(self, path: str, /, **query: str) -> Iterator[bytes]:
        """The lines of an answer that goes on, as they come. Ends when the proxy does."""
        with self._asked(path, query) as answer:
            try:
                while line := answer.readline():
                    yield line
            except (OSError, http.client.HTTPException):
                return  # the proxy was killed within a line

    @contextmanager
    def _asked(self, path: str, query: Query, *, refuse: bool = True) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.connect()
            sock = connection.sock  # the connection lets go of it when the answer has no end
            connection.request("GET", f"{path}?{urlencode(query)}" if query else path)
            answer = connection.getresponse()
            if refuse and answer.status != http.client.OK:
                raise Refused(answer.read(4096).decode("utf-8", "replace").strip())
            sock.settimeout(None)
            yield answer
        except (OSError, http.client.HTTPException) as failed:
            raise Unreachable(self._address, failed) from None
        finally:
            connection.close()
