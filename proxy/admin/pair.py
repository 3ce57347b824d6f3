"""The two endpoints together: admin, for this machine, and telemetry, for the network."""

import asyncio
import os

from proxy.admin.answer import local_only, open_to_all
from proxy.admin.callers import Callers
from proxy.admin.endpoints import ADMIN, TELEMETRY, routes
from proxy.admin.messages import Request
from proxy.admin.running import Running
from proxy.admin.serve import HttpEndpoint
from proxy.start.startup import Started


class Endpoints:
    """Owns both, as far as sockets were made for them, until `close`. Belongs to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, started: Started, running: Running) -> None:
        self._loop = loop
        self._callers = Callers()
        self._sockets = (
            (started.admin, local_only(routes(ADMIN, running), self._may_change, self._uid_of)),
            (started.telemetry, open_to_all(routes(TELEMETRY, running))),
        )
        self._open: list[HttpEndpoint] = []

    def open(self) -> None:
        self._open = [HttpEndpoint(self._loop, sock, answer) for sock, answer in self._sockets if sock is not None]

    def step_back(self) -> None:
        """Another process answers at both from now on. Undone by `take_back`."""
        for endpoint in self._open:
            endpoint.step_back()

    def take_back(self) -> None:
        for endpoint in self._open:
            endpoint.take_back()

    def leave(self) -> None:
        """What was stepped back from is not taken back. Clients that are there go on."""
        for endpoint in self._open:
            endpoint.leave()

    def close(self) -> None:
        for endpoint in self._open:
            endpoint.close()
        self._callers.close()

    def _may_change(self, request: Request) -> bool:
        return request.uid in (0, os.geteuid())

    def _uid_of(self, request: Request) -> int | None:
        return self._callers.uid_of(request.peer, request.local)
