"""Spreads the news of a connection to metrics, access log, supervisor and viewers."""

import logging
import time
from collections.abc import Callable

from proxy.core.addresses import ClientAddress, OriginalDestination
from proxy.core.close_reason import CloseReason
from proxy.core.decide.admission import Refusal
from proxy.core.lanes import Direction
from proxy.core.report.log_budget import LogBudget
from proxy.core.report.record import ConnectionRecord
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sources import Measured

_log = logging.getLogger("tidegate.proxy")

_WHAT_TO_DO = {
    Refusal.MISSING_ORIGINAL_DESTINATION: "the kernel knows no original destination: was it redirected to us at all?",
    Refusal.DIRECT_DIAL: "somebody dialled the listener itself",
    Refusal.LOOP: "it is our own upstream connection, captured again: exempt the proxy's uid, gid or mark from capture",
}


class Observer:
    """Belongs to the event loop. tell: each of them gets the record of every closed connection, but for those of which
    the engine has rendered a line."""

    def __init__(
        self, metrics: Metrics, access_log: AccessLog, tell: tuple[Callable[[ConnectionRecord], None], ...]
    ) -> None:
        self._metrics = metrics
        self._access_log = access_log
        self._tell = tell
        self._budget = LogBudget()

    def punted_ended(self, connection: Measured, record: ConnectionRecord, reason: CloseReason) -> None:
        self._metrics.closed(connection, reason)
        self._ended(record)

    def spliced_ended(self, record: ConnectionRecord, attempts: int, connected: bool) -> None:
        """A connection that the engine kept from end to end."""
        if not connected:
            self._metrics.never_connected(record, attempts)
        self._ended(record)

    def direct_ended(self, record: ConnectionRecord) -> None:
        """A connection of the direct lane has ended. The kernel counts these; only they themselves are told here."""
        self._ended(record)

    def _ended(self, record: ConnectionRecord) -> None:
        self._access_log.closed(record)
        for tell in self._tell:
            tell(record)

    def refused(
        self, direction: Direction, peer: ClientAddress, destination: OriginalDestination | None, reason: Refusal
    ) -> None:
        self._metrics.refused(direction, reason)
        left_out = self._budget.take(time.monotonic())
        if left_out is not None:
            _log.warning(
                "refused %s connection from %s to %s (%s): %s%s",
                direction,
                peer,
                destination or "an unknown destination",
                reason,
                _WHAT_TO_DO[reason],
                f" ({left_out} such lines left out)" if left_out else "",
            )

    def mirrors_dropped(self, count: int) -> None:
        left_out = self._budget.take(time.monotonic())
        if left_out is not None:
            _log.warning(
                "%s copies of requests were not sent to their mirrors: too many, too large, or no endpoint", count
            )

    def paused(self, reason: str) -> None:
        left_out = self._budget.take(time.monotonic())
        if left_out is not None:
            _log.warning("accepting paused (%s): new connections wait in the backlog", reason)
