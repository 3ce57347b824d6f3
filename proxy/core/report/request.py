"""What is told about a request; request_fields.py says how."""

from functools import lru_cache
from typing import NamedTuple

from proxy.core.addresses import ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.lanes import Direction

UNKNOWN = "-"
"""In place of a text that is not there."""


class RequestRecord(NamedTuple):
    """One request and its answer, when both are over. Texts are ready to be shown (`shown`)."""

    id: int
    direction: Direction
    started_at: float
    """Seconds since the epoch."""
    method: str
    authority: str
    path: str
    """With the query."""
    protocol: str
    status: int
    """0: no answer was begun."""
    flags: str
    duration_us: int
    upstream_us: int | None
    """From the request's head to the answer's first byte; None: there was no answer."""
    proxy_us: int
    upstream: UpstreamAddress
    """The last endpoint tried; NOWHERE: there was none."""
    attempts: int
    route: str
    service: str
    source: ClientAddress
    request_bytes: int
    """Heads included, as are those of the answer."""
    response_bytes: int
    trace_id: str
    original_destination: OriginalDestination | None = None
    """Where the connection was meant to go that the request came on."""
    connection: int = 0
    """The id of that connection."""

    @property
    def bytes_sent(self) -> int:
        """What the workload sent: it is the client of an outbound and the server of an inbound request."""
        return self.request_bytes if self.direction is Direction.OUTBOUND else self.response_bytes

    @property
    def bytes_received(self) -> int:
        return self.response_bytes if self.direction is Direction.OUTBOUND else self.request_bytes


@lru_cache(maxsize=4096)
def shown(text: bytes) -> str:
    """Bytes that a peer chose, for terminals, pages and logs: whatever is not printable ASCII becomes `\\xNN`."""
    if not text:
        return UNKNOWN
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E else f"\\x{byte:02x}" for byte in text)


def shown_protocol(major: int, minor: int) -> str:
    return f"HTTP/{major}.{minor}" if major < 2 else f"HTTP/{major}"
