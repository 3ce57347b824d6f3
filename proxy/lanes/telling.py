"""What each lane tells, and who hears it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cext.engine.engine import Engine
from cext.engine.exchanges import Exchanges
from proxy.core.report.identity import Identity
from proxy.core.report.request import RequestRecord
from proxy.lanes.punted.connections import ConnectionEvents, Connections
from proxy.lanes.splice.lane import LaneEvents, SpliceLane
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.observer import Observer
from proxy.telemetry.request_counts import Group, RequestCounts
from proxy.telemetry.request_metrics import RequestMetrics, RequestSources
from proxy.telemetry.requests import Requests
from proxy.telemetry.sources import Kept
from proxy.telemetry.spans import Spans
from proxy.telemetry.tap import Tap
from proxy.telemetry.totals import TotalsView


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


@dataclass(frozen=True, slots=True)
class RequestParts:
    """Who takes what the engine tells of requests, and what is made of it."""

    tap: Tap
    requests: Requests
    counts: RequestCounts
    metrics: RequestMetrics
    totals: TotalsView


def request_parts(
    engine: Engine,
    log: AccessLog,
    lane: Callable[[], SpliceLane],
    own: Identity,
    *,
    kept: Callable[[], Iterator[Kept]],
    tell: Callable[[RequestRecord], None] | None,
    spans: Spans | None,
) -> RequestParts:
    """lane: made later than this. kept: everybody's counters of connections. tell: as `Requests` has it. spans: None
    where no traces are exported."""

    def group(number: int) -> Group | None:
        found = lane().group(number)
        if found is None:
            return None
        return Group(found.of.cluster, str(found.endpoint) if found.endpoint.ip else "", found.of.service)

    exchanges = Exchanges(engine)
    exchanges.make_spans(None if spans is None else spans.share)
    tap = Tap(lambda is_on: lane().tell_each(is_on))
    requests = Requests(exchanges, log, tap, tell=tell, spans=None if spans is None else spans.take)
    counts = RequestCounts(exchanges, group)
    sources = RequestSources(counts, lambda: requests.dropped, exchanges.cpu_s, time.process_time)
    totals = TotalsView(exchanges, group, kept)
    return RequestParts(tap, requests, counts, RequestMetrics(sources, own), totals)
