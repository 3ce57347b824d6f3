"""The C relay engine's typed face: sockets go in, completions come out, and Python touches neither bytes nor events.

Ownership: `relay` consumes both descriptors when it returns and neither when it raises. All methods may be called from
any thread; the engine never calls back, so watch `completion_fd` and collect.
"""

import errno
import os
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

from cext.engine._engine import ffi, lib

DEFAULT_CAPACITY = 1 << 18
_BATCH = 256
_ACCEPTED = 1 << 63


class EngineError(OSError):
    """The engine or the kernel refused; `errno` says why, the message for what."""


class Reason(IntEnum):
    """Why a relay ended."""

    FINISHED = 0
    DOWNSTREAM_RESET = 1
    UPSTREAM_RESET = 2
    IDLE_TIMEOUT = 3
    LIFETIME = 4
    ABORTED = 5
    INTERNAL_ERROR = 6


_REASONS = tuple(Reason)


class Completion(NamedTuple):
    """One relay that has ended. Bytes count when the other side's socket took them; `bytes_sent` went upstream."""

    id: int
    bytes_sent: int
    bytes_received: int
    reason: Reason
    error: int
    duration_us: int


class LiveRelay(NamedTuple):
    """One relay that goes on. `idle_ms` counts from the last byte delivered in either direction."""

    id: int
    bytes_sent: int
    bytes_received: int
    idle_ms: int
    age_ms: int


class Totals(NamedTuple):
    """Counters since the engine started, accepted connections included; bytes count while they move."""

    bytes_sent: int
    bytes_received: int
    active: int
    completed: int
    spliced_bytes: int
    outstanding: int
    """What counts against the capacity: live, waiting to be collected, or punted and neither relayed nor forgotten."""
    accept_pauses: int
    """Times that accepting paused for lack of descriptors or memory."""
    limit_pauses: int
    """... because the capacity was reached."""
    mirrors_answered: int
    """Copies of requests sent to mirrors whose answer came."""
    mirrors_failed: int
    mirrors_dropped: int
    """Copies that were never sent: too many at a time, too large, or nowhere to send them."""


def check(result: int, what: str) -> int:
    """The one place where -errno becomes an exception."""
    if result < 0:
        raise EngineError(-result, f"{what}: {os.strerror(-result)}")
    return result


class Engine:
    """A set of C threads that relay socket pairs.

    `threads`: 1 to 64. `capacity`: how many relays may be live or wait to be collected, at most 2**24; memory is only
    taken as they come.
    """

    def __init__(self, *, threads: int = 1, capacity: int = DEFAULT_CAPACITY) -> None:
        out = ffi.new("tg_engine **")
        self._handle: Any = None  # a tg_engine *; None after close
        if not 1 <= threads <= lib.TG_MAX_WORKERS:
            raise ValueError(f"threads: {threads} is out of range, allowed are 1 to {lib.TG_MAX_WORKERS}")
        if not 1 <= capacity <= lib.TG_MAX_CAPACITY:
            raise ValueError(f"capacity: {capacity} is out of range, allowed are 1 to {lib.TG_MAX_CAPACITY}")
        check(lib.tg_engine_new(threads, capacity, out), f"starting the relay engine with {threads} threads")
        # Freed with the last reference, so a call in another thread never meets a freed engine.
        self._handle = ffi.gc(out[0], lib.tg_engine_free)
        self._handles: dict[int, int] = {}
        self._leftover: list[Completion] = []
        self._savers: list[Callable[[], None]] = []
        self._final: Totals | None = None
        self.completion_fd: int = lib.tg_engine_completion_fd(self._handle)
        """An eventfd, readable while completions wait. The engine owns and closes it: stop watching before `close`."""
        self.record_fd: int = lib.tg_engine_record_fd(self._handle)
        """The same for the splice lane's records, which are in no hurry: collect many at a time."""

    @property
    def handle(self) -> Any:
        """The C engine, for the splice lane. Raises EngineError (ESHUTDOWN) when closed."""
        if self._handle is None:
            raise EngineError(errno.ESHUTDOWN, "the relay engine is closed")
        return self._handle

    @property
    def is_closed(self) -> bool:
        return self._handle is None

    def before_close(self, save: Callable[[], None]) -> None:
        """Have `save` called in `close`, when every relay has ended and what they leave can still be collected."""
        self._savers.append(save)

    def relay(
        self,
        id: int,
        downstream_fd: int,
        upstream_fd: int,
        *,
        early_downstream: bytes = b"",
        early_upstream: bytes = b"",
        idle_timeout_ms: int = 0,
        lifetime_ms: int = 0,
        keepalive_s: int = 0,
        punted: bool = False,
    ) -> None:
        """Take both connected stream sockets over and relay until both directions have ended.

        `early_X`: bytes already read from X; they are delivered to the other side first, and counted. Timeouts of 0
        mean none. The engine makes the sockets non-blocking and sets TCP_NODELAY and SO_OOBINLINE; with `keepalive_s`
        also SO_KEEPALIVE (first probe after that many seconds, three in all, a third of it apart, at least 10 s).
        `punted`: the place of a punted connection goes over to the relay (see `SpliceLane.punts`).
        Raises EngineError (ENOBUFS: at capacity; EEXIST: `id` is live; EBADF, EINVAL, ENOMEM, ESHUTDOWN): then the
        caller still owns the descriptors.
        """
        handle = self.handle
        if not 0 <= id < _ACCEPTED:
            raise ValueError(f"relay {id}: ids are 0 to 2**63 - 1")
        if id in self._handles:
            raise EngineError(errno.EEXIST, f"relay {id}: this id is in use")
        request = ffi.new(
            "tg_relay_request *",
            {
                "downstream_fd": downstream_fd,
                "upstream_fd": upstream_fd,
                "idle_timeout_ms": idle_timeout_ms,
                "lifetime_ms": lifetime_ms,
                "keepalive_s": keepalive_s,
                "punted": punted,
            },
        )
        held = (ffi.from_buffer(early_downstream), ffi.from_buffer(early_upstream))
        request.early_downstream, request.early_upstream = held
        request.early_downstream_len, request.early_upstream_len = len(early_downstream), len(early_upstream)
        name = ffi.new("uint64_t *")
        # Claimed first: the relay may be over, and collected by another thread, before the call returns.
        self._handles[id] = -1
        result = lib.tg_engine_relay(handle, id, request, name)
        if result < 0:
            del self._handles[id]
        elif id in self._handles:
            self._handles[id] = name[0]
        check(result, f"relay {id} (descriptors {downstream_fd} and {upstream_fd})")

    def completions(self, limit: int = _BATCH) -> list[Completion]:
        """At most `limit` relays that have ended; never blocks. While any are left `completion_fd` stays readable."""
        if self._handle is None:
            taken, self._leftover = self._leftover[:limit], self._leftover[limit:]
            return taken
        taken = []
        while len(taken) < limit:
            wanted = min(_BATCH, limit - len(taken))
            batch = self._collect(self._handle, wanted)
            taken += batch
            if len(batch) < wanted:
                break
        return taken

    def live(self) -> list[LiveRelay]:
        """A snapshot of the relays that go on. One that begins or ends meanwhile may be missing."""
        if self._handle is None:
            return []
        handle = self._handle
        cursor = ffi.new("uint64_t *")
        rows = ffi.new("tg_live[]", _BATCH)
        found: list[LiveRelay] = []
        while count := lib.tg_engine_live(handle, cursor, rows, _BATCH):
            for row in rows[0:count]:
                found.append(LiveRelay(row.id, row.bytes_sent, row.bytes_received, row.idle_ms, row.age_ms))
        return found

    def totals(self) -> Totals:
        """Counters since the start; after `close` the final ones."""
        if self._handle is None and self._final is not None:
            return self._final
        out = ffi.new("tg_totals *")
        lib.tg_engine_totals(self._handle, out)
        return Totals(*(getattr(out, name) for name in Totals._fields))

    def limit_bodies(self, largest: int | None) -> None:
        """Have requests with a larger body answered 413; None, as at the beginning: none."""
        lib.tg_engine_limit_bodies(self.handle, largest or 0)

    def add_headers(self, *, forwarded_inbound: bool, forwarded_outbound: bool, request_id: bool) -> None:
        """Have headers added to every request; at the beginning none is. forwarded: X-Forwarded-For with the client's
        address. request_id: x-request-id where none came."""
        which = lib.TG_FORWARDED_INBOUND if forwarded_inbound else 0
        which |= lib.TG_FORWARDED_OUTBOUND if forwarded_outbound else 0
        which |= lib.TG_REQUEST_ID if request_id else 0
        check(lib.tg_engine_add_headers(self.handle, which), "adding headers to requests")

    def abort(self, id: int) -> None:
        """Reset both sides of a relay. Its completion says ABORTED, unless it ended by itself before.

        An id that is over, or never was, is no error. Takes the ids of accepted connections (splice_lane.py), too.
        """
        name = id if id >= _ACCEPTED else self._handles.get(id, -1)
        if name >= 0 and self._handle is not None:
            result = lib.tg_engine_abort(self._handle, name)
            if result != -errno.ENOENT:
                check(result, f"aborting relay {id}")

    def settle(self, id: int, *, upstream_gone: bool) -> None:
        """The program behind one side has ended: the relay ends as FINISHED once the other side has acknowledged
        everything. Ids as in `abort`."""
        name = id if id >= _ACCEPTED else self._handles.get(id, -1)
        if name >= 0 and self._handle is not None:
            result = lib.tg_engine_settle(self._handle, name, int(upstream_gone))
            if result != -errno.ENOENT:
                check(result, f"settling relay {id}")

    def close(self) -> None:
        """Reset what is left and join the threads; idempotent. What ended is still handed out by `completions`."""
        handle = self._handle
        if handle is None:
            return
        lib.tg_engine_stop(handle)
        while batch := self._collect(handle, _BATCH):
            self._leftover += batch
        for save in self._savers:
            save()
        self._final = self.totals()
        self._handle = None
        self.completion_fd = self.record_fd = -1

    def _collect(self, handle: Any, wanted: int) -> list[Completion]:
        batch = ffi.new("tg_completion[]", wanted)
        count = lib.tg_engine_completions(handle, batch, wanted)
        ended = [
            Completion(one.id, one.bytes_sent, one.bytes_received, _REASONS[one.reason], one.error, one.duration_us)
            for one in batch[0:count]
        ]
        for one in ended:
            self._handles.pop(one.id, None)
        return ended
