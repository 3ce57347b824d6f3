"""The running proxy: which parts it is made of, and which of them hears what from which. Nothing is decided here."""

import asyncio
import time
from collections.abc import Callable

from cext.engine.engine import Engine
from proxy.admin.pair import Endpoints
from proxy.admin.running import Running
from proxy.control.doors import Doors
from proxy.control.health import Readiness
from proxy.control.operations import common_operations, companion_operations
from proxy.control.signals import hear_signals
from proxy.control.supervisor import Supervisor
from proxy.core.decide.lane import Lanes
from proxy.core.decide.probes import ProbeRegistry
from proxy.feed.feed import Feed
from proxy.feed.source import Configured
from proxy.lanes import counting
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.dns.relay import DnsRelay
from proxy.lanes.drain import SERVING, Drain
from proxy.lanes.health import sources
from proxy.lanes.health.watch import HealthWatch
from proxy.lanes.held import HeldProbes
from proxy.lanes.options import asking, engine_log, lane_defaults, lane_listeners, upstream_options
from proxy.lanes.parsed.clusters import HealthEvents
from proxy.lanes.parsed.lane import RequestLane
from proxy.lanes.publish import Publisher
from proxy.lanes.punted.connections import Connections
from proxy.lanes.punted.verdicts import Verdicts
from proxy.lanes.splice.lane import SpliceLane
from proxy.lanes.telling import punted_events, request_parts, splice_events
from proxy.lanes.upkeep import Upkeep
from proxy.settings import LogFormat, ProxySettings
from proxy.start.startup import Started
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.observer import Observer
from proxy.telemetry.own import own_identity
from proxy.telemetry.scrapes import Scrapes
from proxy.telemetry.sources import MetricSources
from proxy.telemetry.spans import spans_as_configured


class Sidecar:
    """Owns the started sockets and the engine from its construction until `close`. Belongs to the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: ProxySettings,
        started: Started,
        other_dropped_lines: Callable[[], int],
        configured: Configured | None = None,
    ) -> None:
        self._loop, self._settings, self._started = loop, settings, started
        # Of parts that tell each other things one is made later: it is reached through `self`.
        log = self._access_log = AccessLog(json_lines=settings.log_format is LogFormat.JSON)
        self._supervisor = Supervisor(lambda: self._drain)
        self._engine = Engine(threads=settings.workers, capacity=started.connection_limit)
        own = own_identity()
        self._spans = spans_as_configured(own)
        told = request_parts(
            self._engine,
            log,
            lambda: self._splice,
            own,
            kept=lambda: counting.kept(self._splice, self._direct),
            tell=None if settings.supervisor_fd is None else self._supervisor.request,
            spans=self._spans,
        )
        self._requests = told.requests
        metrics = Metrics(
            MetricSources(
                live=lambda: self._punted.live(),  # noqa: PLW0108
                dropped_log_lines=lambda: other_dropped_lines() + log.dropped,
                draining=lambda: self._drain.state != SERVING,
                connection_limit=started.connection_limit,
                kept=lambda: counting.kept(self._splice, direct),
                pauses=lambda: self._splice.pauses(),  # noqa: PLW0108
            ),
            own,
            told.metrics,
        )
        observer = Observer(metrics, log, (self._supervisor.closed, told.tap.connection))
        direct = self._direct = DirectLane(
            lambda: self._publisher.publish(),  # noqa: PLW0108
            observer.direct_ended,
            loop.call_soon,
            expected=started.companions is not None and configured is not None,
        )
        metrics.add(counting.endpoint_metrics(lambda: self._splice, direct))
        verdicts = Verdicts(Lanes(forced=settings.lane, announced=frozenset(settings.announced)))
        probes = ProbeRegistry()
        self._punted = Connections(
            loop,
            self._engine,
            probes,
            punted_events(metrics, observer, lambda: self._upkeep.forgotten()),  # noqa: PLW0108
            verdicts=verdicts,
            upstream_options=upstream_options(settings),
            idle_timeout_s=settings.idle_timeout_s,
        )
        # The workers read the door from the first site on, which is published later.
        self._deciding = RequestLane(
            self._engine,
            asking(settings),
            lambda cluster, endpoint: self._splice.request_group(cluster, endpoint),  # noqa: PLW0108
            HealthEvents(
                in_a_row=lambda *told: self._health.in_a_row(*told),  # noqa: PLW0108
                tried=lambda *told: self._health.tried(*told),  # noqa: PLW0108
            ),
            settings.connect_timeout_s,
        )
        self._splice = SpliceLane(
            self._engine,
            lane_listeners(settings, started),
            lane_defaults(settings),
            splice_events(metrics, observer, log, self._punted),
            log=engine_log(settings),
            log_texts=log.texts,
            announced=settings.announced,
            number_of=self._deciding.number,
        )
        held = HeldProbes(probes, self._splice)
        self._feed: Feed | None = None
        self._publisher = Publisher(loop, verdicts, direct, self._splice, self._deciding)
        self._health = HealthWatch(
            loop,
            sources.of_all(self._splice, direct, lambda: verdicts.ledger.loads),
            self._publisher.set_health,
            mark=settings.proxy_mark,
        )
        if configured is not None:
            self._feed = Feed(loop, configured, self._publisher.put_in_force, metrics.reloaded)
            self._publisher.published = [self._feed.published, self._health.exchange]
            self._publisher.refused = self._feed.unpublished
            self._publisher.put_in_force(configured.policy)
        drain = self._drain = Drain(
            loop, self._splice, self._punted, self._supervisor.drained, lambda: loop.call_soon(loop.stop)
        )
        self._upkeep = Upkeep(
            loop,
            self._engine,
            self._splice,
            self._punted,
            held=held,
            drain=drain,
            observer=observer,
            requests=told.requests,
        )
        self._dns = DnsRelay(loop, list(started.dns_sockets), metrics.dns_question, started.question_limit)
        readiness = Readiness(drain, self._publisher)
        running = Running(
            settings=settings,
            readiness=readiness,
            drain=drain,
            verdicts=verdicts,
            feed=self._feed,
            splice=self._splice,
            punted=self._punted,
            direct=direct,
            access_log=log,
            metrics=Scrapes(metrics, self._upkeep.take_records, time.monotonic, self._splice.counted).page,
            requests=told.requests,
            request_counts=told.counts,
            tap=told.tap,
            totals=told.totals.rows,
        )
        common = common_operations(held.expect, running.live, drain)
        companion = companion_operations(drain, readiness, self._dns.serve_interfaces)
        self._doors = Doors(started, direct, drain, readiness, common=common, companion=companion)
        self._endpoints = Endpoints(loop, started, running)

    async def open(self) -> None:
        """Start everything, the listeners last, and tell the supervisor."""
        self._endpoints.open()
        await self._doors.open(self._loop, self._supervisor)
        hear_signals(self._loop, self._drain, self._settings.drain_timeout_s, self._feed)
        if self._feed is not None:
            self._feed.start()
        self._upkeep.start()
        self._health.start()
        self._deciding.start(self._loop)
        await self._publisher.start()
        self._splice.open()
        self._dns.open()
        self._supervisor.ready(self._started)

    async def close(self) -> None:
        """End what is left, then let go of everything; the supervisor hears of every connection before."""
        if self._feed is not None:
            self._feed.close()
        self._publisher.close()
        self._upkeep.stop()
        self._health.close()
        self._deciding.close()
        self._engine.close()
        self._deciding.release()
        self._punted.close()
        self._splice.take_last_records()
        self._requests.take_last()
        if self._spans is not None:
            self._spans.close()
        self._dns.close()
        self._endpoints.close()
        self._doors.close()
        await self._supervisor.close()
        self._access_log.close()
