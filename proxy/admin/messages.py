"""What an endpoint gets and what it gives: a request, and a response or a stream."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from proxy.core.addresses import Address

UNKNOWN = Address("", 0)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """Names in lower case; of a repeated header the last."""
    body: bytes = b""
    peer: Address = UNKNOWN
    """The client's socket."""
    local: Address = UNKNOWN
    """The address at which the client reached us."""
    uid: int | None = None
    """Whose the client is; known of requests that change something."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Sink(Protocol):
    """One client's end of a stream."""

    def put(self, data: bytes, items: int = 1) -> None:
        """Send `data`, which holds so many items. A client that has no room for it loses it, and is told how much."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer without an end. `subscribe` gets the client's sink and returns what ends the subscription; `missed`
    renders the notice that so many items were dropped."""

    content_type: str
    subscribe: Callable[[Sink], Callable[[], None]]
    missed: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Later:
    """An answer that is being made, in pieces between which the event loop goes on. It must not raise."""

    response: Awaitable[Response]


Given = Response | Stream | Later
Answer = Callable[[Request], Given]
"""Gets a well-formed request; must not raise and must not wait."""
