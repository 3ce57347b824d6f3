"""Prometheus metrics: Istio's TCP metrics under their own names, ours under `tidegate_`."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from proxy.core.close_reason import CloseReason, response_flags
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction
from proxy.core.policy.policy import ServiceName
from proxy.core.report.identity import NOBODY, Identity
from proxy.core.report.istio_labels import LABELS, tcp_labels
from proxy.core.report.record import ConnectionRecord
from proxy.telemetry.families import END, family_slices
from proxy.telemetry.request_metrics import RequestMetrics
from proxy.telemetry.sources import Kept, Measured, MetricSources

MAX_ACCEPT = 1024
"""Characters of an Accept header that are looked at."""
_NOT_CONNECTED = response_flags(CloseReason.UPSTREAM_REFUSED)
PAUSES = ("max-connections", "resources")
MIRRORS = ("answered", "failed", "dropped")
"""Why accepting pauses, in the order of `MetricSources.pauses`."""
STEP = 100
"""Connections or groups that are counted at a time."""


class _Counted(NamedTuple):
    opened: int = 0
    ended: Mapping[CloseReason, int] = MappingProxyType({})
    failures: int = 0
    retries: int = 0
    sent: int = 0
    received: int = 0


class _Series(NamedTuple):
    opened: Counter
    closed: Counter
    sent: Counter
    received: Counter


class Metrics:
    """All of the proxy's metrics. Belongs to the event loop, which gets its turn between two slices of a page.

    Byte counters grow while a connection is open: at each scrape by what has been relayed since the last one, at its
    close by the rest. So they never count twice and never go down.
    """

    def __init__(self, sources: MetricSources, own: Identity = NOBODY, requests: RequestMetrics | None = None) -> None:
        """own: the workload that the proxy serves. requests: None where no requests are told apart."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry(auto_describe=False)
        self._sources = sources
        self._own = own
        self._requests = requests
        self._active: dict[tuple[Direction, str], int] = {}
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

        def counter(name: str, text: str, labels: Iterable[str] = ()) -> Counter:
            return Counter(name, text, tuple(labels), registry=self._registry)

        self._istio = _Series(
            opened=counter("istio_tcp_connections_opened", "TCP connections opened.", LABELS),
            closed=counter("istio_tcp_connections_closed", "TCP connections closed.", LABELS),
            sent=counter("istio_tcp_sent_bytes", "Bytes sent as response, from upstream to downstream.", LABELS),
            received=counter("istio_tcp_received_bytes", "Bytes received as request, from downstream.", LABELS),
        )
        self._series: dict[tuple[Direction, str, str, str, ServiceName | None], _Series] = {}
        self._lanes = counter("tidegate_lane_connections", "Connections by lane.", ("direction", "lane"))
        self._closed = counter("tidegate_connections_closed", "Connections by why they ended.", ("direction", "reason"))
        self._refused = counter("tidegate_refused", "Connections refused with a reset.", ("direction", "reason"))
        self._probes = counter("tidegate_probes", "Capture probes answered.", ("direction",))
        self._dns = counter("tidegate_dns_questions", "Captured DNS questions over UDP by outcome.", ("outcome",))
        self._recaptured = counter(
            "tidegate_upstream_recaptured", "Connections that look like upstream ones of ours.", ("direction",)
        )
        self._retries = counter("tidegate_upstream_retries", "Connects tried with another endpoint.", ("direction",))
        self._failures = counter(
            "tidegate_upstream_connect_failures", "Connects that failed.", ("direction", "cluster")
        )
        self._reloads = counter("tidegate_config_reloads", "Readings of configuration while serving.", ("result",))
        self._counted: dict[Hashable, _Counted] = {}
        """Of others' counters, what ours have been told already."""
        self._limit = Gauge("tidegate_connections_limit", "Connections held at most.", registry=self._registry)
        self._limit.set(sources.connection_limit)

    def add(self, collector: Collector) -> None:
        """Another collector, whose metrics are exposed with these."""
        self._registry.register(collector)

    def dns_question(self, outcome: str) -> None:
        """answered, failed (no server did), dropped (too many at once) or malformed."""
        self._dns.labels(outcome).inc()

    def opened(self, connection: Measured) -> None:
        verdict = connection.verdict
        self._of(connection, "-").opened.inc()
        self._lanes.labels(connection.direction, verdict.lane).inc()

    def closed(self, connection: Measured, reason: CloseReason) -> None:
        series = self._of(connection, response_flags(reason))
        series.closed.inc()
        _count_bytes(connection, series)
        self._closed.labels(connection.direction, reason).inc()
        if response_flags(reason) == _NOT_CONNECTED:
            self._failures.labels(connection.direction, connection.verdict.cluster).inc()

    def moved(self, connection: Measured, before: Verdict) -> None:
        """An endpoint did not take the connection. To a cluster's own counts it has come and gone."""
        self._retries.labels(connection.direction).inc()
        self._failures.labels(connection.direction, before.cluster).inc()
        if (before.cluster, before.service) != (connection.verdict.cluster, connection.verdict.service):
            self._by(connection.direction, before, _NOT_CONNECTED).closed.inc()
            self._of(connection, "-").opened.inc()

    def never_connected(self, record: ConnectionRecord, attempts: int) -> None:
        """A connection that the engine kept has ended without ever having been connected. The others it counts."""
        direction, verdict, reason = record.direction, record.verdict, record.close_reason or CloseReason.INTERNAL_ERROR
        self._by(direction, verdict, "-").opened.inc()
        self._by(direction, verdict, response_flags(reason)).closed.inc()
        self._closed.labels(direction, reason).inc()
        self._lanes.labels(direction, verdict.lane).inc()
        if attempts > 1:
            self._retries.labels(direction).inc(attempts - 1)

    def reloaded(self, accepted: bool) -> None:
        """Configuration was read again."""
        self._reloads.labels("accepted" if accepted else "refused").inc()

    def refused(self, direction: Direction, reason: str) -> None:
        self._refused.labels(direction, reason).inc()

    def probed(self, direction: Direction) -> None:
        self._probes.labels(direction).inc()

    def recaptured(self, direction: Direction) -> None:
        self._recaptured.labels(direction).inc()

    def form(self, accept: str) -> str:
        """The content type that an Accept header amounts to."""
        return choose_encoder(accept[:MAX_ACCEPT])[1]

    def render(self, accept: str) -> tuple[str, bytes]:
        """Content type and body for an Accept header: the text format, or OpenMetrics when it is asked for."""
        return self.form(accept), b"".join(self.slices(accept))

    def slices(self, accept: str) -> Iterator[bytes]:
        """The same body in pieces, each of which takes a few milliseconds; some are empty."""
        encode, content_type = choose_encoder(accept[:MAX_ACCEPT])
        for _ in self._count_all():
            yield b""
        for family in self._registry.collect():
            yield from family_slices(family, encode)
        openmetrics = content_type.startswith("application/openmetrics-text")
        if self._requests is not None:
            for _ in self._requests.update():
                yield b""
            yield from self._requests.slices(openmetrics=openmetrics)
        if openmetrics:
            yield END

    def _count_all(self) -> Iterator[None]:
        """Bring the counters up to date, in steps; one page at a time, or a later look would come before an earlier."""
        active = dict.fromkeys(((d, "splice") for d in Direction), 0)
        for number, connection in enumerate(list(self._sources.live())):
            _count_bytes(connection, self._of(connection, "-"))
            key = (connection.direction, str(connection.verdict.lane))
            active[key] = active.get(key, 0) + 1
            if number % STEP == 0:
                yield
        for number, kept in enumerate(list(self._sources.kept())):
            if kept.opened or kept.failures:  # 10,000 Services that nobody calls are no series
                self._count(kept)
            key = (kept.direction, str(kept.verdict.lane))
            active[key] = active.get(key, 0) + kept.opened - sum(kept.ended.values())
            if number % STEP == 0:
                yield
        self._active = active

    def collect(self) -> Iterable[Metric]:
        """Called by the registry, when the counters are up to date."""
        family = GaugeMetricFamily("tidegate_connections_active", "Open connections.", labels=("direction", "lane"))
        for (direction, lane), count in self._active.items():
            family.add_metric((direction, lane), count)
        yield family
        dropped = CounterMetricFamily("tidegate_log_lines_dropped", "Log lines lost because nobody read them in time.")
        dropped.add_metric((), self._sources.dropped_log_lines())
        yield dropped
        pauses = CounterMetricFamily("tidegate_listener_pauses", "Times accepting paused.", labels=("reason",))
        for reason, count in zip(PAUSES, self._sources.pauses(), strict=True):
            pauses.add_metric((reason,), count)
        yield pauses
        mirrors = CounterMetricFamily(
            "tidegate_mirrored_requests", "Copies of requests for mirrors, by what came of them.", labels=("outcome",)
        )
        for outcome, count in zip(MIRRORS, self._sources.mirrors(), strict=True):
            mirrors.add_metric((outcome,), count)
        yield mirrors
        draining = GaugeMetricFamily("tidegate_draining", "1 while draining or drained.")
        draining.add_metric((), self._sources.draining())
        yield draining

    def _count(self, kept: Kept) -> None:
        before = self._counted.get(kept.id, _Counted())
        series = self._by(kept.direction, kept.verdict, "-")
        series.opened.inc(kept.opened - before.opened)
        series.received.inc(kept.to_upstream - before.received)
        series.sent.inc(kept.to_downstream - before.sent)
        self._lanes.labels(kept.direction, kept.verdict.lane).inc(kept.opened - before.opened)
        failures = kept.failures - before.failures
        self._failures.labels(kept.direction, kept.verdict.cluster).inc(failures)
        self._retries.labels(kept.direction).inc(kept.retries - before.retries)
        for reason, count in kept.ended.items():
            more = count - before.ended.get(reason, 0)
            if more:
                self._by(kept.direction, kept.verdict, response_flags(reason)).closed.inc(more)
                self._closed.labels(kept.direction, reason).inc(more)
        if not kept.reported:
            series.opened.inc(failures)
            self._by(kept.direction, kept.verdict, _NOT_CONNECTED).closed.inc(failures)
            self._lanes.labels(kept.direction, kept.verdict.lane).inc(failures)
        self._counted[kept.id] = _Counted(
            kept.opened, kept.ended, kept.failures, kept.retries, kept.to_downstream, kept.to_upstream
        )

    def _of(self, connection: Measured, flags: str) -> _Series:
        return self._by(connection.direction, connection.verdict, flags)

    def _by(self, direction: Direction, verdict: Verdict, flags: str) -> _Series:
        key = (direction, verdict.cluster, verdict.protocol, flags, verdict.service)
        found = self._series.get(key)
        if found is None:
            labels = tcp_labels(*key, own=self._own)
            found = self._series[key] = _Series(*(metric.labels(**labels) for metric in self._istio))
        return found


def _count_bytes(connection: Measured, series: _Series) -> None:
    # Scrapes and closes happen on one loop, in order, and the engine's counts only grow: both steps are >= 0.
    series.received.inc(connection.to_upstream - connection.counted_to_upstream)
    series.sent.inc(connection.to_downstream - connection.counted_to_downstream)
    connection.counted_to_upstream = connection.to_upstream
    connection.counted_to_downstream = connection.to_downstream
