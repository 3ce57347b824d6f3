"""One connection, or one process' messages to a destination, as a source tells of them at each look."""

from collections.abc import Hashable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, Protocol

Address = IPv4Address | IPv6Address
Endpoint = tuple[Address, int]


class Seen(NamedTuple):
    """key: the same at each look. Bytes and duration are None where they can't be known. older: it was open before we
    began to look. first: the first bytes; by_peer: they are the other end's. port: of the destination."""

    key: Hashable
    outbound: bool
    protocol: str
    name: str
    pid: int
    uid: int
    gid: int
    local: Endpoint | None
    remote: Endpoint
    ended: bool = False
    failed: bool = False
    times: int = 1
    sent: int | None = None
    received: int | None = None
    duration_s: float | None = None
    older: bool = False
    first: bytes = b""
    by_peer: bool = False

    @property
    def destination(self) -> Endpoint:
        """Where the call goes to: of one that arrives, this end."""
        return self.remote if self.outbound or self.local is None else self.local


class Source(Protocol):
    losses: tuple[str, ...]
    """What it can't see, in words."""

    def look(self) -> list[Seen]:
        """What is open now, and once more what has ended since the last look."""

    def answers(self) -> list[bytes]:
        """Of name servers, since the last look."""

    def lost(self) -> int:
        """What found no room to be told."""

    def close(self) -> None: ...
