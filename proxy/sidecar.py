"""The running proxy: which parts it is made of, and which of them hears what from which. Nothing is decided here."""

import asyncio
import time
from collections.abc import Callable

from cext.engine.databases import Databases
from cext.engine.engine import Engine
from proxy.admin.pair import Endpoints
from proxy.admin.running import running_parts
from proxy.control.doors import Doors, companion_expected
from proxy.control.health import Readiness
from proxy.control.operations import common_operations, companion_operations
from proxy.control.signals import hear_signals
from proxy.control.supervisor import Supervisor
from proxy.feed.feed import Feed
from proxy.feed.source import Configured
from proxy.lanes.all_lanes import AllLanes
from proxy.lanes.dns.relay import DnsRelay
from proxy.lanes.drain import SERVING, Drain
from proxy.lanes.telling import LanesLater, Telling, telling
from proxy.lanes.upkeep import Upkeep
from proxy.settings import LogFormat, ProxySettings
from proxy.start.startup import Started
from proxy.succession import Parts, Succession
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.scrapes import Scrapes


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
        self._supervisor = Supervisor(lambda: self._drain)
        self._engine = Engine(threads=settings.workers, capacity=started.connection_limit)
        Databases(self._engine).follow(settings.databases)
        told = self._telling = self._told_by_lanes(other_dropped_lines)
        metrics, requests = told.metrics, told.of_requests
        lanes = self._lanes = AllLanes(
            loop,
            self._engine,
            settings,
            started,
            told,
            expect_direct=companion_expected(started) and configured is not None,
            forgotten=lambda: self._upkeep.forgotten(),  # noqa: PLW0108
        )
        self._feed = None if configured is None else self._fed(configured)
        drain = self._drain = Drain(
            loop, lanes.splice, lanes.punted, self._supervisor.drained, lambda: loop.call_soon(loop.stop)
        )
        self._upkeep = Upkeep(
            loop,
            self._engine,
            lanes.splice,
            lanes.punted,
            held=lanes.held,
            drain=drain,
            observer=told.observer,
            requests=requests.requests,
        )
        self._dns = DnsRelay(loop, list(started.dns_sockets), metrics.dns_question, started.question_limit)
        readiness = Readiness(drain, lanes.publisher)
        scrapes = Scrapes(metrics, self._upkeep.take_records, time.monotonic, lanes.splice.counted)
        running = running_parts(
            settings, lanes, told, readiness=readiness, drain=drain, feed=self._feed, metrics=scrapes.page
        )
        common = common_operations(lanes.held.expect, running.live, drain)
        self._succession = Succession(loop, settings, started, drain, lanes.splice.listening)
        companion = companion_operations(drain, readiness, self._dns.serve_interfaces, self._succession.waits)
        after = self._succession.after
        self._doors = Doors(started, lanes.direct, drain, readiness, common=common, companion=companion, after=after)
        self._endpoints = Endpoints(loop, started, running)
        self._succession.parts = Parts(self._endpoints, self._dns, self._doors, lanes.direct, lanes.health, self._feed)

    def _told_by_lanes(self, other_dropped_lines: Callable[[], int]) -> Telling:
        return telling(
            self._engine,
            AccessLog(json_lines=self._settings.log_format is LogFormat.JSON),
            self._started.connection_limit,
            LanesLater(
                splice=lambda: self._lanes.splice,
                direct=lambda: self._lanes.direct,
                punted=lambda: self._lanes.punted,
                draining=lambda: self._drain.state != SERVING,
            ),
            ended=self._supervisor.closed,
            request_ended=None if self._settings.supervisor_fd is None else self._supervisor.request,
            other_dropped_lines=other_dropped_lines,
        )

    def _fed(self, configured: Configured) -> Feed:
        publisher = self._lanes.publisher
        feed = Feed(self._loop, configured, publisher.put_in_force, self._telling.metrics.reloaded)
        publisher.published = [feed.published, self._lanes.health.exchange]
        publisher.refused = feed.unpublished
        publisher.put_in_force(configured.policy)
        return feed

    async def open(self) -> None:
        """Start everything, the listeners last, and tell the supervisor. Where we take over, the proxy before us
        serves until the end of this."""
        self._succession.open_early()
        await self._doors.open(self._loop, self._supervisor)
        hear_signals(self._loop, self._drain, self._settings.drain_timeout_s, self._feed)
        if self._feed is not None:
            self._feed.start()
        self._upkeep.start()
        await self._lanes.start()
        await self._succession.step_in()
        self._lanes.splice.open()
        self._dns.open()
        self._succession.open_late()
        self._supervisor.ready(self._started)

    async def close(self) -> None:
        """End what is left, then let go of everything; the supervisor hears of every connection before."""
        if self._feed is not None:
            self._feed.close()
        self._upkeep.stop()
        self._lanes.stop()
        self._engine.close()
        self._lanes.release()
        self._telling.of_requests.requests.take_last()
        if self._telling.spans is not None:
            self._telling.spans.close()
        self._dns.close()
        self._endpoints.close()
        self._doors.close()
        self._succession.close()
        await self._supervisor.close()
        self._telling.log.close()
