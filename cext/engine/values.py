"""What goes into the engine's accepting side and comes out of it: verdicts, punts, records, counters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Ending(IntEnum):
    """Why an accepted connection ended: the reasons of a relay, then those for which it was never connected."""

    FINISHED = 0
    DOWNSTREAM_RESET = 1
    UPSTREAM_RESET = 2
    IDLE_TIMEOUT = 3
    LIFETIME = 4
    ABORTED = 5
    INTERNAL_ERROR = 6
    CONNECT_FAILED = 7
    CONNECT_TIMEOUT = 8
    REFUSED = 9
    LIMITED = 10
    NO_DESTINATION = 11
    DIRECT_DIAL = 12
    LOOP = 13


MAX_TEXT = 4096
"""Of each of a verdict's texts; cext/engine/engine.h has the same (TG_MAX_TEXT)."""


class Log(IntEnum):
    """How connections that end as connections do are told."""

    NONE = 0
    """By records, as all others."""
    TEXT = 1
    JSON = 2


class Original(IntEnum):
    """Where a listener finds the original destination."""

    AUTO = 0
    SOCKOPT = 1
    SOCKNAME = 2


class Action(IntEnum):
    RELAY = 0
    PASS = 1
    PUNT = 2
    REFUSE = 3


class Balance(IntEnum):
    """All by weight."""

    RANDOM = 0
    ROUND_ROBIN = 1
    LEAST = 2
    """The endpoint with the fewest open connections."""
    BY_SOURCE = 3
    """A hash of the client's IP address."""


class Speaks(IntEnum):
    """What is done about the protocol of a destination's connections."""

    OPAQUE = 0
    """Nothing: bytes are bytes."""
    DETECT = 1
    """Both sides' first bytes are looked at: HTTP/1 is parsed, all else passes as bytes."""
    HTTP = 2
    """It is HTTP: what is none is refused, except for HTTP/2, which passes as bytes."""


class Spoken(IntEnum):
    """What a connection was found to speak."""

    UNKNOWN = 0
    """Nobody looked, or neither side has said enough."""
    HTTP1 = 1
    HTTP2 = 2
    TLS = 3
    SERVER = 4
    """The server spoke first."""
    OTHER = 5
    """The client said something else."""


class SocketAddress(NamedTuple):
    """An address of TCP. `ip` is text (IPv6 v4-mapped means IPv4), `zone` the interface index of link-local IPv6."""

    ip: str
    port: int
    zone: int = 0


ANYTHING: SocketAddress | None = None
"""As a verdict's destination: any destination that has no verdict of its own."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server. `group`: whose counters its connections move. Weight 0: never chosen."""

    address: SocketAddress
    group: int
    weight: int = 1
    http_group: int = 0
    """Whose counters its connections move that speak HTTP/1; 0: `group`."""


class Keepalive(NamedTuple):
    """Of TCP, of upstream sockets, in seconds; 0: the kernel's own setting."""

    time_s: int = 0
    interval_s: int = 0
    probes: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided for a destination. Immutable; connections keep the one they began with.

    `id` and `group` are the caller's: `id` comes back in records; `group` counts refusals, what is held under
    `max_connections` (0: no limit), and the traffic of PASS. Times of 0: none (connecting: the kernel's).
    `max_attempts` of 0: each endpoint once.
    """

    action: Action
    id: int = 0
    group: int = 0
    http_group: int = 0
    """The same of PASS's connections that speak HTTP/1; 0: `group`."""
    endpoints: tuple[Endpoint, ...] = ()
    balance: Balance = Balance.RANDOM
    max_attempts: int = 0
    max_connections: int = 0
    connect_timeout_ms: int = 10_000
    idle_timeout_ms: int = 0
    lifetime_ms: int = 0
    keepalive: Keepalive | None = None
    """None: as the listener says."""
    affinity: int = 0
    """What is remembered of clients is shared by verdicts and clusters with the same number."""
    affinity_ms: int = 0
    """How long a client goes to the same endpoint; 0: no affinity."""
    denied: tuple[str, ...] = ()
    """Networks, in CIDR notation: connections from there are punted."""
    speaks: Speaks = Speaks.OPAQUE
    """Of RELAY and PASS only."""
    site: int = 0
    """Whose rules its requests are for; 0: they go where the verdict says."""
    log_protocol: bytes = b""
    """This and the next two: values of the log, as they are to stand in a line; at most MAX_TEXT bytes each."""
    log_lane: bytes = b""
    log_reason: bytes = b""
    service: bytes = b""
    """Whose requests they are, `namespace/name`; empty: no Service claims the destination."""


class Punt(NamedTuple):
    """An accepted connection that is the caller's now: `fd` is non-blocking, and only the caller closes it."""

    fd: int
    scope: int
    hops: int
    """As in Record."""
    peer: SocketAddress
    original: SocketAddress


class Record(NamedTuple):
    """One connection that the engine accepted and kept; a live one has no `ending`. `bytes_sent` went upstream.

    `upstream`: the last endpoint tried; None when there was none. `connect_us`: from accept to connected, None when it
    never was. `id` is never that of a relay.
    """

    id: int
    scope: int
    verdict: int
    group: int
    peer: SocketAddress
    original: SocketAddress | None
    upstream: SocketAddress | None
    bytes_sent: int
    bytes_received: int
    duration_us: int
    connect_us: int | None
    attempts: int
    idle_ms: int
    hops: int
    """How many connections of the engine's own may lead to this one: above 0 it bears the addresses of one of them."""
    ending: Ending | None
    error: int
    spoken: Spoken = Spoken.UNKNOWN
    server_name: str = ""
    """This and the next one: of a ClientHello. Empty: none."""
    alpn: str = ""
    """Protocols, with commas between them."""


class Counters(NamedTuple):
    """One group's totals since the engine started; they never go back, but for `admitted`, the present number."""

    group: int
    opened: int
    closed: int
    connect_failures: int
    ended: tuple[int, ...]
    """Those closed, by Ending from FINISHED to INTERNAL_ERROR."""
    retries: int
    refused: int
    bytes_sent: int
    bytes_received: int
    admitted: int
