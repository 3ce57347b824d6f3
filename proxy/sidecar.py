"""The running proxy: its parts, and which of them hears what from which."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Mapping

from cext.engine.engine import Engine
from cext.engine.lane import Log
from proxy.admin import views as operations
from proxy.admin.http import Answer, HttpServerConnection
from proxy.admin.routes import Actions, Sources, admin_routes, answerer, telemetry_routes
from proxy.control.channel import ControlConnection, Operation, ToolConnection
from proxy.core.close_reason import CloseReason
from proxy.core.decide.lane import Lanes
from proxy.core.decide.probes import ProbeRegistry
from proxy.core.policy.policy import Policy
from proxy.core.report.record import ConnectionRecord
from proxy.feed.reload import Reloader
from proxy.feed.source import Configured
from proxy.lanes import counting
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.dns.relay import DnsRelay
from proxy.lanes.drain import SERVING, Drain
from proxy.lanes.held import HeldProbes
from proxy.lanes.options import lane_listeners, upstream_options
from proxy.lanes.publish import Publisher
from proxy.lanes.punted.connection import Connection
from proxy.lanes.punted.connections import ConnectionEvents, Connections
from proxy.lanes.punted.verdicts import Verdicts
from proxy.lanes.splice.lane import LaneEvents, SpliceLane
from proxy.lanes.splice.verdict_table import Defaults
from proxy.lanes.splice.watch import EngineWatch
from proxy.settings import LogFormat, ProxySettings
from proxy.start.startup import Started
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.endpoints import EndpointMetrics, EndpointSources
from proxy.telemetry.metrics import PAUSES, Metrics, MetricSources
from proxy.telemetry.observer import Observer

ORPHAN_DRAIN_S = 1.0
"""The drain's time when the supervisor has gone: nothing may outlive it for long."""
FLUSH_S = 0.5
TICK_S = 1.0


class Sidecar:
    """Owns the started sockets and the engine from its construction until `close`. Belongs to the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: ProxySettings,
        started: Started,
        dropped_log_lines: Callable[[], int],
        configured: Configured | None = None,
    ) -> None:
        """dropped_log_lines: those of other logs than the access log."""
        self._loop = loop
        self._settings = settings
        self._started = started
        self._access_log = AccessLog(json_lines=settings.log_format is LogFormat.JSON)
        self._metrics = Metrics(
            MetricSources(
                live=lambda: self._connections.live(),  # noqa: PLW0108  # made further down, as is the drain
                dropped_log_lines=lambda: dropped_log_lines() + self._access_log.dropped,
                draining=lambda: self.drain.state != "serving",
                connection_limit=started.connection_limit,
                kept=lambda: counting.kept(self._lane, self._direct),
                pauses=lambda: self._lane.pauses(),  # noqa: PLW0108
            )
        )
        self._observer = Observer(self._metrics, self._access_log, self._tell_connection)
        self._probes = ProbeRegistry()
        self._pauses = (0, 0)
        self._tick: asyncio.TimerHandle | None = None
        self._direct = DirectLane(
            lambda: self._publisher.publish(),  # noqa: PLW0108
            self._observer.seen,
            loop.call_soon,
            expected=settings.companion and configured is not None,
        )
        self._metrics.add(
            EndpointMetrics(
                EndpointSources(
                    lambda: counting.kept_by_endpoint(self._lane), lambda: counting.direct_by_endpoint(self._direct)
                )
            )
        )
        self._verdicts = Verdicts(Lanes(forced=settings.lane))
        self._engine = Engine(threads=settings.workers, capacity=started.connection_limit)
        self._connections = Connections(
            loop,
            self._engine,
            self._probes,
            ConnectionEvents(
                self._metrics.opened,
                self._closed,
                self._observer.refused,
                self._metrics.probed,
                self._metrics.moved,
                self._forgotten,
            ),
            verdicts=self._verdicts,
            upstream_options=upstream_options(settings),
            idle_timeout_s=settings.idle_timeout_s,
        )
        self._lane = SpliceLane(
            self._engine,
            lane_listeners(settings, started),
            Defaults(settings.connect_timeout_s, settings.idle_timeout_s),
            LaneEvents(
                self._connections.punted,
                self._observer.kept,
                self._access_log.rendered,
                self._observer.refused,
                self._metrics.recaptured,
            ),
            log=_log_of(settings),
            log_texts=self._access_log.texts,
        )
        self._watch = EngineWatch(loop, self._engine, self._collect, self._take_records)
        self._held = HeldProbes(self._probes, self._lane)
        self._reloader: Reloader | None = None
        self._publisher = Publisher(loop, self._verdicts, self._direct, self._lane, self._unpublished)
        if configured is not None:
            first = (configured.policy, configured.warnings)
            self._reloader = Reloader(
                loop, configured.source, first, self._publisher.put_in_force, self._metrics.reloaded
            )
            self._publisher.put_in_force(configured.policy)
        self.drain = Drain(loop, self._lane, self._connections, self._tell_drained, self._stop)
        self._dns = DnsRelay(loop, list(started.dns_sockets), self._metrics.dns_question)
        self._health = operations.CaptureHealth()
        self._operations = operations.control_operations(
            self._held.expect, self._live_records, self.drain, self._health
        )
        self._supervisor: ControlConnection | None = None
        self._supervisor_gone = asyncio.Event()
        self._servers: list[asyncio.AbstractServer] = []  # a server that nobody refers to stops serving

    async def open(self) -> None:
        """Start all endpoints, the listeners last, and tell the supervisor."""
        routes = self._routes()
        for name, sock in (("admin", self._started.admin), ("telemetry", self._started.telemetry)):
            if sock is not None:
                await self._serve_http(sock, answerer(routes[name], local_only=name == "admin"))
        control = await self._loop.create_unix_server(self._tool, sock=self._started.control)
        self._servers.append(control)
        if self._started.supervisor is not None:
            await self._greet_supervisor(self._started.supervisor, self._operations)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal)
        if self._reloader is not None:
            self._reloader.start()
        reload = operations.reload_configuration if self._reloader is None else self._reloader.request
        self._loop.add_signal_handler(signal.SIGHUP, reload)
        self._watch.start()
        await self._publisher.start()
        self._lane.open()
        self._tick = self._loop.call_later(TICK_S, self._on_tick)
        self._dns.open()
        if self._supervisor is not None:
            dns = self._started.dns
            self._supervisor.tell(
                "ready",
                outbound_port=self._started.outbound.port,
                inbound_port=self._started.inbound.port,
                dns_port=dns.port if dns is not None else None,
            )

    async def close(self) -> None:
        """Ends what is left, then lets go of everything; the supervisor hears of every connection before."""
        if self._reloader is not None:
            self._reloader.close()
        self._publisher.close()
        if self._tick is not None:
            self._tick.cancel()
        self._watch.stop()
        self._engine.close()
        self._connections.close()
        self._lane.take_last_records()
        self._dns.close()
        for server in self._servers:
            server.close()
        if self._supervisor is not None:
            self._supervisor.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._supervisor_gone.wait(), FLUSH_S)
        self._access_log.close()

    def _collect(self) -> None:
        """A relay of ours has ended, or a connection has been punted."""
        self._connections.collect()
        self._lane.take_punts()
        self.drain.look()

    def _render_metrics(self, accept: str) -> tuple[str, bytes]:
        self._take_records()  # those that wait for company belong to what is to be told now
        return self._metrics.render(accept)

    def _take_records(self) -> None:
        self._lane.take_records()
        self.drain.look()

    def _forgotten(self) -> None:
        self._lane.forget()
        self.drain.look()

    def _unpublished(self, policy: Policy, defect: Exception) -> None:
        if self._reloader is not None:
            self._reloader.unpublished(policy, defect)

    def _tool(self) -> ToolConnection:
        connection = ToolConnection(self._operations, lambda: self._direct.lost(connection))
        connection.operations |= self._direct.operations(connection)
        return connection

    def _on_tick(self) -> None:
        self._tick = self._loop.call_later(TICK_S, self._on_tick)
        self._held.release_expired()
        self._lane.tidy()
        before, self._pauses = self._pauses, self._lane.pauses()
        for reason, earlier, now in zip(PAUSES, before, self._pauses, strict=True):
            if now > earlier:
                self._observer.paused(reason)

    def _live_records(self) -> Iterator[ConnectionRecord]:
        yield from operations.live_records(self._connections, self._lane)
        yield from self._direct.live()

    def _closed(self, connection: Connection, reason: CloseReason) -> None:
        self._observer.closed(connection, connection.record(reason), reason)

    def _tell_connection(self, record: ConnectionRecord) -> None:
        if self._supervisor is not None:
            self._supervisor.tell("connection", **record.as_report())

    def _tell_drained(self) -> None:
        if self._supervisor is not None:
            self._supervisor.tell("drained")

    def _stop(self) -> None:
        self._loop.call_soon(self._loop.stop)

    def _on_signal(self) -> None:
        """The first signal drains, the second one does not wait for it."""
        again = self.drain.state != "serving"
        self.drain.begin(0.0 if again else self._settings.drain_timeout_s, then_exit=True)

    def _on_supervisor_gone(self) -> None:
        self._supervisor_gone.set()
        self.drain.begin(ORPHAN_DRAIN_S, then_exit=True)

    async def _greet_supervisor(self, sock: socket.socket, known: Mapping[str, Operation]) -> None:
        self._supervisor = supervisor = ControlConnection(known, self._on_supervisor_gone)
        supervisor.operations |= self._direct.operations(supervisor)
        await self._loop.connect_accepted_socket(lambda: supervisor, sock)

    async def _serve_http(self, sock: socket.socket, answer: Answer) -> None:
        connections: set[HttpServerConnection] = set()
        server = await self._loop.create_server(
            lambda: HttpServerConnection(self._loop, answer, connections), sock=sock
        )
        self._servers.append(server)

    def _state(self) -> str:
        """What readiness shows: a proxy that capture does not reach is of no use to the workload."""
        if self.drain.state == SERVING and self._health.problem is not None:
            return f"capture broken: {self._health.problem}"
        if self.drain.state == SERVING and self._publisher.behind is not None:
            return self._publisher.behind
        return self.drain.state

    def _routes(self) -> dict[str, dict[str, Mapping[str, Answer]]]:
        sources = Sources(
            state=self._state,
            metrics=self._render_metrics,
            connections=lambda: operations.connection_list(self._live_records()),
            listeners=lambda: operations.listener_list(self._lane),
            clusters=lambda: operations.cluster_list(self._connections, self._lane, self._verdicts),
            config=lambda: operations.config_dump(self._settings, self._reloader),
            log_level=operations.log_level,
        )
        actions = Actions(
            set_log_level=operations.set_log_level,
            drain=lambda: self.drain.begin(self._settings.drain_timeout_s, then_exit=False),
            quit=lambda: self.drain.begin_soon(0.0, then_exit=True),
        )
        return {"admin": admin_routes(sources, actions), "telemetry": telemetry_routes(sources)}


def _log_of(settings: ProxySettings) -> Log:
    """A supervisor hears of each connection."""
    if settings.supervisor_fd is not None:
        return Log.NONE
    return Log.JSON if settings.log_format is LogFormat.JSON else Log.TEXT
