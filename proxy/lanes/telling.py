"""What each lane tells, and who hears it."""

from collections.abc import Callable

from proxy.lanes.punted.connections import ConnectionEvents, Connections
from proxy.lanes.splice.lane import LaneEvents
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.observer import Observer


def punted_events(metrics: Metrics, observer: Observer, forgotten: Callable[[], None]) -> ConnectionEvents:
    return ConnectionEvents(
        opened=metrics.opened,
        closed=lambda connection, reason: observer.punted_ended(connection, connection.record(reason), reason),
        refused=observer.refused,
        probed=metrics.probed,
        moved=metrics.moved,
        forgotten=forgotten,
    )


def splice_events(metrics: Metrics, observer: Observer, log: AccessLog, punted: Connections) -> LaneEvents:
    return LaneEvents(
        punted=punted.punted,
        ended=observer.spliced_ended,
        lines=log.rendered,
        refused=observer.refused,
        hop=metrics.recaptured,
    )
