"""From what is seen at each look to rows: one for each caller and destination, of however many processes. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from intercept.discover.guess import guess
from intercept.discover.seen import Address, Endpoint, Seen

LONG_S = 60.0
"""From so long on an open connection counts as long-lived."""
MOST_ROWS = 10_000
MOST_DURATIONS = 1_000
MOST_PIDS = 64


class Key(NamedTuple):
    """peer: of calls that arrive, the client's address; None outbound."""

    outbound: bool
    name: str
    uid: int
    protocol: str
    destination: Endpoint
    peer: Address | None


@dataclass(slots=True)
class Row:
    """calls: connections, or messages of what has none. Bytes are those of this end; None: not known of any."""

    key: Key
    is_self: bool
    gid: int = 0
    pids: set[int] = field(default_factory=set)
    calls: int = 0
    failed: int = 0
    open: int = 0
    sent: int | None = None
    received: int | None = None
    durations_s: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_DURATIONS))
    """Of those that have ended, the last ones."""
    longest_s: float | None = None
    older: int = 0
    """Of the open ones: were there before we looked."""
    guess: str = ""

    @property
    def long_lived(self) -> bool:
        return self.older > 0 or (self.open > 0 and (self.longest_s or 0.0) >= LONG_S)

    @property
    def median_s(self) -> float | None:
        ordered = sorted(self.durations_s)
        return ordered[len(ordered) // 2] if ordered else None


class Gathered:
    """own: whether an address is this host's."""

    def __init__(self, own: Callable[[Address], bool]) -> None:
        self._own = own
        self._over: dict[Key, Row] = {}
        """What has ended, and messages."""
        self._open: dict[object, Seen] = {}
        self._told: dict[object, int] = {}
        self.left_out = 0
        """Calls for whose row there was no room."""

    def add(self, seen: Iterable[Seen]) -> None:
        now: dict[object, Seen] = {}
        for one in seen:
            if one.protocol != "tcp":
                self._count(one)
            elif one.ended:
                self._open.pop(one.key, None)
                self._end(one)
            else:
                now[one.key] = one
        self._open = now

    def rows(self) -> list[Row]:
        """As of now, the most calls first."""
        found: dict[Key, Row] = {}
        for key, row in self._over.items():
            found[key] = _copy(row)
        for one in self._open.values():
            row = found.setdefault(key := self._key(one), Row(key, self._is_self(one)))
            _add(row, one)
            row.open += 1
            row.older += one.older
            row.calls += one.times
        return sorted(found.values(), key=lambda row: (-row.calls, row.key.name, str(row.key.destination)))

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows())

    def _end(self, one: Seen) -> None:
        row = self._row(one)
        if row is None:
            return
        _add(row, one)
        row.calls += one.times
        row.failed += one.failed
        if one.duration_s is not None and not one.failed:
            row.durations_s.append(one.duration_s)

    def _count(self, one: Seen) -> None:
        """Messages are told as totals."""
        row = self._row(one)
        if row is not None:
            _add(row, one)
            row.calls += one.times - self._told.get(one.key, 0)
            self._told[one.key] = one.times

    def _row(self, one: Seen) -> Row | None:
        key = self._key(one)
        row = self._over.get(key)
        if row is None:
            if len(self._over) >= MOST_ROWS:
                self.left_out += 1
                return None
            row = self._over[key] = Row(key, self._is_self(one))
        return row

    def _key(self, one: Seen) -> Key:
        peer = None if one.outbound else one.remote[0]
        return Key(one.outbound, one.name, one.uid, one.protocol, one.destination, peer)

    def _is_self(self, one: Seen) -> bool:
        return self._own(one.remote[0])


def _add(row: Row, one: Seen) -> None:
    row.gid = one.gid
    if one.pid and len(row.pids) < MOST_PIDS:
        row.pids.add(one.pid)
    if one.sent is not None:
        row.sent = (row.sent or 0) + one.sent
    if one.received is not None:
        row.received = (row.received or 0) + one.received
    if one.duration_s is not None:
        row.longest_s = max(row.longest_s or 0.0, one.duration_s)
    told = guess(one.protocol, one.destination[1], one.first, by_peer=one.by_peer)
    if told and (not row.guess or row.guess.endswith("?")):
        row.guess = told


def _copy(row: Row) -> Row:
    return Row(
        row.key, row.is_self, row.gid, set(row.pids), row.calls, row.failed, row.open, row.sent, row.received,
        deque(row.durations_s, MOST_DURATIONS), row.longest_s, row.older, row.guess,
    )  # fmt: skip
