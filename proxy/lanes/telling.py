"""What each lane tells, and who hears it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cext.engine.databases import Databases
from cext.engine.engine import Engine
from cext.engine.exchanges import Exchanges
from proxy.core.report.identity import Identity
from proxy.core.report.record import ConnectionRecord
from proxy.core.report.request import RequestRecord
from proxy.lanes import counting
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.punted.connections import ConnectionEvents, Connections
from proxy.lanes.splice.lane import LaneEvents, SpliceLane
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.databases import DatabaseCounts, Place
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.observer import Observer
from proxy.telemetry.own import own_identity
from proxy.telemetry.recent import RecentConnections
from proxy.telemetry.request_counts import Group, RequestCounts
from proxy.telemetry.request_metrics import RequestMetrics, RequestSources
from proxy.telemetry.requests import Requests
from proxy.telemetry.sources import Kept, MetricSources
from proxy.telemetry.spans import Spans, spans_as_configured
from proxy.telemetry.statements import Statements
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

    def place(number: int) -> Place | None:
        found = lane().group(number)
        if found is None:
            return None
        endpoint = str(found.endpoint) if found.endpoint.ip else ""
        service = str(found.of.service) if found.of.service else "-"
        return Place(found.direction, found.of.cluster, service, endpoint, str(found.verdict.lane))

    engines = Databases(engine)
    databases = DatabaseCounts(engines.counts, place)
    exchanges = Exchanges(engine)
    exchanges.make_spans(None if spans is None else spans.share)

    def looked_at(is_on: bool) -> None:
        lane().tell_each(is_on)
        statements.follow(is_on)

    tap = Tap(looked_at)
    statements = Statements(engines, place, tap.statement, tap.missed)
    requests = Requests(exchanges, log, tap, tell=tell, spans=None if spans is None else spans.take)
    counts = RequestCounts(exchanges, group)
    sources = RequestSources(counts, lambda: requests.dropped, exchanges.cpu_s, time.process_time, databases)
    totals = TotalsView(exchanges, group, kept, databases)
    return RequestParts(tap, requests, counts, RequestMetrics(sources, own), totals)


@dataclass(frozen=True, slots=True)
class Telling:
    """Everything that hears of connections and requests. spans: None where no traces are exported."""

    log: AccessLog
    spans: Spans | None
    of_requests: RequestParts
    metrics: Metrics
    observer: Observer
    ended: RecentConnections


@dataclass(frozen=True, slots=True)
class LanesLater:
    """The lanes are made later than what hears of them."""

    splice: Callable[[], SpliceLane]
    direct: Callable[[], DirectLane]
    punted: Callable[[], Connections]
    draining: Callable[[], bool]


def telling(
    engine: Engine,
    log: AccessLog,
    connection_limit: int,
    lanes: LanesLater,
    *,
    ended: Callable[[ConnectionRecord], None],
    request_ended: Callable[[RequestRecord], None] | None,
    other_dropped_lines: Callable[[], int],
) -> Telling:
    """ended, request_ended: the supervisor's ears; the latter is None where requests need not be gathered for it.
    other_dropped_lines: of the proxy's own log."""

    def kept() -> Iterator[Kept]:
        return counting.kept(lanes.splice(), lanes.direct())

    own = own_identity()
    spans = spans_as_configured(own)
    told = request_parts(engine, log, lanes.splice, own, kept=kept, tell=request_ended, spans=spans)
    sources = MetricSources(
        live=lambda: lanes.punted().live(),
        dropped_log_lines=lambda: other_dropped_lines() + log.dropped,
        draining=lanes.draining,
        connection_limit=connection_limit,
        kept=kept,
        pauses=lambda: lanes.splice().pauses(),
        mirrors=lambda: lanes.splice().mirrors(),
    )
    metrics = Metrics(sources, own, told.metrics)
    recent = RecentConnections()
    observer = Observer(metrics, log, (ended, told.tap.connection, recent.add))
    return Telling(log, spans, told, metrics, observer, recent)
