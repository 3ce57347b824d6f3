"""The channel to the supervisor (`tidegate run`), over a socket that the proxy was born with."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from proxy.control.channel import ControlConnection
from proxy.core.report.fields import report
from proxy.core.report.record import ConnectionRecord
from proxy.core.report.request import RequestRecord
from proxy.core.report.request_fields import report as request_report
from proxy.lanes.drain import Drain
from proxy.start.startup import Started

ORPHAN_DRAIN_S = 1.0
"""The drain's time when the supervisor has gone: nothing may outlive it for long."""
FLUSH_S = 0.5


class Supervisor:
    """Tells what happens, and ends the proxy when it has gone itself. Where there is none, nothing is told."""

    def __init__(self, drain: Callable[[], Drain]) -> None:
        """drain: made later than this."""
        self._drain = drain
        self._channel: ControlConnection | None = None
        self._gone = asyncio.Event()

    async def greet(self, sock: socket.socket, made: Callable[[Callable[[], None]], ControlConnection]) -> None:
        """made: gets what is to be called when the supervisor has gone, and gives the channel."""
        self._channel = channel = made(self._on_gone)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: channel, sock)

    def ready(self, started: Started) -> None:
        dns = started.dns
        self._tell(
            "ready",
            outbound_port=started.outbound.port,
            inbound_port=started.inbound.port,
            dns_port=dns.port if dns is not None else None,
            admin_port=None if started.admin is None else started.admin.getsockname()[1],
        )

    def closed(self, record: ConnectionRecord) -> None:
        if self._channel is not None:
            self._tell("connection", **report(record))

    def request(self, record: RequestRecord) -> None:
        self._tell("request", **request_report(record))

    def drained(self) -> None:
        self._tell("drained")

    async def close(self) -> None:
        """After it has heard everything, or FLUSH_S."""
        if self._channel is not None:
            self._channel.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), FLUSH_S)

    def _tell(self, event: str, **values: object) -> None:
        if self._channel is not None:
            self._channel.tell(event, **values)

    def _on_gone(self) -> None:
        self._gone.set()
        self._drain().begin(ORPHAN_DRAIN_S, then_exit=True)
