"""What the metrics are made from."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from proxy.core.close_reason import CloseReason
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction


class Measured(Protocol):
    """What the metrics need of a connection. The counted_ numbers are the metrics' own note of what they have added."""

    direction: Direction
    verdict: Verdict
    to_upstream: int
    to_downstream: int
    counted_to_upstream: int
    counted_to_downstream: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Connections that somebody else saw through from end to end, all that are told about alike. They never go back.

    reported: `Metrics.never_connected` tells of those that were never connected; else these counts are all there is."""

    id: Hashable
    reported: bool
    direction: Direction
    verdict: Verdict
    opened: int
    ended: Mapping[CloseReason, int]
    """Of those opened."""
    failures: int
    """Attempts to connect that failed."""
    retries: int
    """Attempts beyond the first of those opened."""
    to_upstream: int
    to_downstream: int


@dataclass(frozen=True, slots=True)
class MetricSources:
    """Where the values come from that are only looked at when somebody scrapes."""

    live: Callable[[], Iterable[Measured]]
    """Open connections, with their byte counts as of now."""
    dropped_log_lines: Callable[[], int]
    draining: Callable[[], bool]
    connection_limit: int
    kept: Callable[[], Iterable[Kept]]
    """The engine's and the kernel's counters as of now."""
    pauses: Callable[[], tuple[int, int]]
    """How often accepting has paused: at the limit of connections, for lack of descriptors or memory."""
    mirrors: Callable[[], tuple[int, int, int]] = lambda: (0, 0, 0)
    """Copies of requests sent to mirrors: answered, failed, never sent."""
