"""The running proxy: its parts, and which of them hears what from which."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Mapping

from cext.engine import Engine
from proxy import operations
from proxy.admin.http import Answer, HttpServerConnection
from proxy.admin.routes import Actions, Sources, admin_routes, answerer, telemetry_routes
from proxy.core.close_reason import CloseReason
from proxy.core.lanes import Direction
from proxy.core.policy import NO_POLICY
from proxy.core.policy_decide import Lanes
from proxy.core.probes import ProbeRegistry
from proxy.core.record import ConnectionRecord
from proxy.io.connection import Connection
from proxy.io.connections import ConnectionEvents, Connections
from proxy.io.control import ControlConnection, Operation, ToolConnection
from proxy.io.dns_relay import DnsRelay
from proxy.io.drain import SERVING, Drain
from proxy.io.intake import Intake
from proxy.io.listener import Listener, ListenerEvents
from proxy.io.reload import Reloader
from proxy.io.upstream import UpstreamOptions
from proxy.io.verdicts import Verdicts
from proxy.policy_source import Configured
from proxy.settings import LogFormat, ProxySettings
from proxy.startup import Started
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.metrics import Metrics, MetricSources
from proxy.telemetry.observer import Observer

ORPHAN_DRAIN_S = 1.0
"""The drain's time when the supervisor has gone: nothing may outlive it for long."""
FLUSH_S = 0.5
ENGINE_SPARE = 1024
"""Relays that have ended but wait to be collected count against the engine's capacity."""


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
            )
        )
        self._observer = Observer(self._metrics, self._access_log, self._tell_connection)
        self._intake = Intake(loop, started.connection_limit, self._observer.paused)
        probes = ProbeRegistry()
        self._verdicts = Verdicts(Lanes(forced=settings.lane), NO_POLICY if configured is None else configured.policy)
        self._reloader: Reloader | None = None
        if configured is not None:
            first = (configured.policy, configured.warnings)
            put_in_force = self._verdicts.put_in_force
            self._reloader = Reloader(loop, configured.source, first, put_in_force, self._metrics.reloaded)
        self._connections = Connections(
            loop,
            Engine(threads=settings.workers, capacity=started.connection_limit + ENGINE_SPARE),
            self._intake,
            probes,
            ConnectionEvents(
                self._metrics.opened,
                self._closed,
                self._observer.refused,
                self._metrics.probed,
                self._metrics.moved,
                self._metrics.recaptured,
            ),
            verdicts=self._verdicts,
            inbound_original_dst=settings.inbound_original_dst,
            upstream_options=_upstream_options(settings),
            idle_timeout_s=settings.idle_timeout_s,
        )
        self.drain = Drain(loop, self._intake, self._connections, self._tell_drained, self._stop)
        accept = ListenerEvents(
            self._connections.accepted,
            self._intake.exhausted,
            self._observer.accept_error,
            self._connections.accepted_all,
        )
        self._intake.listeners = [
            Listener(loop, Direction.OUTBOUND, started.outbound, accept),
            Listener(loop, Direction.INBOUND, started.inbound, accept),
        ]
        if started.dns is not None:
            # Over TCP a question is a connection like any other, and its original destination is known.
            self._intake.listeners.append(Listener(loop, Direction.OUTBOUND, started.dns, accept))
        self._dns = DnsRelay(loop, list(started.dns_sockets), self._metrics.dns_question)
        self._health = operations.CaptureHealth()
        self._operations = operations.control_operations(probes, self._connections, self.drain, self._health)
        self._supervisor: ControlConnection | None = None
        self._supervisor_gone = asyncio.Event()
        self._servers: list[asyncio.AbstractServer] = []  # a server that nobody refers to stops serving

    async def open(self) -> None:
        """Start all endpoints, the listeners last, and tell the supervisor."""
        routes = self._routes()
        for name, sock in (("admin", self._started.admin), ("telemetry", self._started.telemetry)):
            if sock is not None:
                await self._serve_http(sock, answerer(routes[name], local_only=name == "admin"))
        control = await self._loop.create_unix_server(
            lambda: ToolConnection(self._operations, lambda: None), sock=self._started.control
        )
        self._servers.append(control)
        if self._started.supervisor is not None:
            await self._greet_supervisor(self._started.supervisor, self._operations)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal)
        if self._reloader is not None:
            self._reloader.start()
        reload = operations.reload_configuration if self._reloader is None else self._reloader.request
        self._loop.add_signal_handler(signal.SIGHUP, reload)
        self._intake.open()
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
        self._connections.close()
        self._dns.close()
        for server in self._servers:
            server.close()
        if self._supervisor is not None:
            self._supervisor.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._supervisor_gone.wait(), FLUSH_S)
        self._access_log.close()

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
        return self.drain.state

    def _routes(self) -> dict[str, dict[str, Mapping[str, Answer]]]:
        sources = Sources(
            state=self._state,
            metrics=self._metrics.render,
            connections=lambda: operations.connection_list(self._connections),
            listeners=lambda: operations.listener_list(self._intake.listeners),
            clusters=lambda: operations.cluster_list(self._connections, self._verdicts),
            config=lambda: operations.config_dump(self._settings, self._reloader),
            log_level=operations.log_level,
        )
        actions = Actions(
            set_log_level=operations.set_log_level,
            drain=lambda: self.drain.begin(self._settings.drain_timeout_s, then_exit=False),
            quit=lambda: self.drain.begin_soon(0.0, then_exit=True),
        )
        return {"admin": admin_routes(sources, actions), "telemetry": telemetry_routes(sources)}


def _upstream_options(settings: ProxySettings) -> dict[Direction, UpstreamOptions]:
    """Only connections to the workload have a source address of their own."""
    sources = {int(socket.AF_INET6 if ":" in ip else socket.AF_INET): ip for ip in settings.inbound_sources}
    return {
        direction: UpstreamOptions(
            connect_timeout_s=settings.connect_timeout_s,
            keepalive_s=settings.keepalive_s,
            mark=settings.proxy_mark,
            sources=sources if direction is Direction.INBOUND else {},
        )
        for direction in Direction
    }
