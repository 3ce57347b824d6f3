"""The engine's clusters: what a request may be sent to, how an endpoint is chosen, and what is told about endpoints."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

from cext.engine._engine import ffi, lib
from cext.engine.engine import Engine, check
from cext.engine.layout import to_c
from cext.engine.values import SocketAddress

_BATCH = 256
FIRST_STATUS = 400


class Choose(IntEnum):
    EWMA = 0
    LEAST_REQUEST = 1
    ROUND_ROBIN = 2
    RANDOM = 3


class HashBy(IntEnum):
    """What of a request a consistent hash is made of."""

    NOTHING = 0
    HEADER = 1
    COOKIE = 2
    PARAMETER = 3
    SOURCE = 4


class News(IntFlag):
    """What an endpoint has to tell: failures in a row, as many as the cluster says, or how a trial went."""

    IN_A_ROW_5XX = 1
    IN_A_ROW_GATEWAY = 2
    IN_A_ROW_LOCAL = 4
    TRIAL_PASSED = 8
    TRIAL_FAILED = 16


@dataclass(frozen=True, slots=True)
class ClusterEndpoint:
    """group: whose state it has, whichever cluster names it. weight 0: never chosen. trial: one request at a time.
    identity: by which tokens of sessions name it."""

    address: SocketAddress
    group: int
    weight: int = 1
    trial: bool = False
    identity: int = 0


@dataclass(frozen=True, slots=True)
class ClusterLimits:
    """0: no limit. The last three are of each endpoint or connection."""

    connections: int = 0
    pending: int = 0
    requests: int = 0
    retries: int = 0
    endpoint_connections: int = 0
    endpoint_requests: int = 0
    connection_requests: int = 0


@dataclass(frozen=True, slots=True)
class Allowance:
    """A budget: of the requests of the last ten seconds, and so many a second besides, saved up for ten."""

    percent: float = 0.0
    per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """places, points: a consistent hash, see proxy/core/balance/hashed.py; hash_by, hash_name, cookie_end: what it is
    made of, see proxy/core/balance/key.py (the name of a header is in lower case). affinity, affinity_ms: as of
    Verdict, for requests. in_a_row: how many failures of each kind (5xx, gateway errors, without an answer) are news;
    0: none. Times of 0: none (connecting: the kernel's)."""

    endpoints: tuple[ClusterEndpoint, ...]
    choose: Choose = Choose.EWMA
    places: Sequence[int] = ()
    points: Sequence[int] = ()
    hash_by: HashBy = HashBy.NOTHING
    hash_name: bytes = b""
    cookie_end: bytes | None = None
    affinity: int = 0
    affinity_ms: int = 0
    in_a_row: tuple[int, int, int] = (0, 0, 0)
    split_local: bool = False
    limits: ClusterLimits = ClusterLimits()
    retries: Allowance = Allowance()
    hedges: Allowance = Allowance()
    connect_timeout_ms: int = 0
    idle_timeout_ms: int = 0
    lifetime_ms: int = 0


class EndpointCounts(NamedTuple):
    """failures: not connected, reset, timed out. statuses: how often each came, from 400 on. latency_us: the estimate
    of the time to the first byte; None: there is none yet."""

    answered: int
    failures: tuple[int, int, int]
    statuses: dict[int, int]
    outstanding: int
    connections: int
    latency_us: float | None


class Clusters:
    """The clusters of one engine, by numbers of the caller's. Any thread. Watch `news_fd`, readable while there is
    news; the engine owns it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.news_fd: int = lib.tg_engine_news_fd(engine.handle)
        self._row = ffi.new("tg_endpoint_counts *")

    def set(self, number: int, spec: ClusterSpec) -> None:
        """For new requests; endpoints' states, limits and budgets go on. Raises ValueError for a malformed address,
        EngineError (EINVAL) for what can't be: weights of more than 32 bits, places without an endpoint."""
        endpoints = ffi.new("tg_cluster_endpoint[]", len(spec.endpoints))
        for row, endpoint in zip(endpoints, spec.endpoints, strict=True):
            row.address = to_c(endpoint.address)
            row.group, row.weight, row.trial = endpoint.group, endpoint.weight, endpoint.trial
            row.identity = endpoint.identity
        places = ffi.new("uint32_t[]", list(spec.places)) if spec.places else ffi.NULL
        points = ffi.new("uint64_t[]", list(spec.points)) if spec.points else ffi.NULL
        texts = [ffi.NULL if one is None else ffi.new("char[]", one) for one in (spec.hash_name, spec.cookie_end)]
        limits = spec.limits
        asked = ffi.new(
            "tg_cluster_spec *",
            {
                "choose": int(spec.choose),
                "endpoint_count": len(spec.endpoints),
                "endpoints": endpoints,
                "table_size": len(spec.places),
                "split_local": spec.split_local,
                "places": places,
                "points": points,
                "hash_by": int(spec.hash_by),
                "hash_name": texts[0],
                "hash_name_length": len(spec.hash_name),
                "cookie_end": texts[1],
                "affinity": spec.affinity,
                "affinity_ms": spec.affinity_ms,
                "in_a_row": list(spec.in_a_row),
                "limits": [limits.connections, limits.pending, limits.requests, limits.retries],
                "endpoint_requests": limits.endpoint_requests,
                "endpoint_connections": limits.endpoint_connections,
                "connection_requests": limits.connection_requests,
                "budget_percent": [spec.retries.percent, spec.hedges.percent],
                "budget_per_s": [spec.retries.per_s, spec.hedges.per_s],
                "connect_timeout_ms": spec.connect_timeout_ms,
                "idle_timeout_ms": spec.idle_timeout_ms,
                "lifetime_ms": spec.lifetime_ms,
            },
        )
        check(lib.tg_engine_set_cluster(self._engine.handle, number, asked), f"cluster {number}")

    def remove(self, number: int) -> None:
        """None there is no error."""
        result = lib.tg_engine_remove_cluster(self._engine.handle, number)
        if result != -errno.ENOENT:
            check(result, f"removing cluster {number}")

    def news(self, limit: int = _BATCH) -> list[tuple[int, News]]:
        """Groups of endpoints with what they have to tell; never blocks."""
        if self._engine.is_closed:
            return []
        rows = ffi.new("tg_endpoint_news[]", limit)
        count = lib.tg_engine_news(self._engine.handle, rows, limit)
        return [(row.group, News(row.news)) for row in rows[0:count]]

    def counts(self, group: int) -> EndpointCounts | None:
        """None: no cluster names the group."""
        if self._engine.is_closed:
            return None
        row = self._row
        result = lib.tg_engine_endpoint_counts(self._engine.handle, group, row)
        if result == -errno.ENOENT:
            return None
        check(result, f"counts of endpoint group {group}")
        return EndpointCounts(
            row.answered,
            tuple(row.failures)[2:],
            {FIRST_STATUS + at: count for at, count in enumerate(row.statuses) if count},
            row.outstanding,
            row.connections,
            row.cost_us or None,
        )
