"""Active health checks: each endpoint is asked again and again, whatever traffic it has."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from proxy.core.addresses import UpstreamAddress
from proxy.core.policy.upstream import HealthCheck
from proxy.lanes.health.attempt import attempt

AT_ONCE = 64
"""Checks under way; the others wait, and come later than their interval says."""


class Probe(NamedTuple):
    cluster: str
    endpoint: UpstreamAddress
    number: int
    """Of the check in the cluster's settings."""
    check: HealthCheck


class Prober:
    """Belongs to the event loop. told: cluster, endpoint, which check, and why it failed; None: it passed.

    mark: SO_MARK of the checks' sockets, which must not be captured."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        told: Callable[[str, UpstreamAddress, int, str | None], None],
        mark: int | None,
    ) -> None:
        self._loop = loop
        self._told = told
        self._mark = mark
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[Probe, asyncio.Task[None]] = {}

    def exchange(self, asked: Iterable[tuple[str, Sequence[HealthCheck], Sequence[UpstreamAddress]]]) -> None:
        """Which clusters are to be checked, how, and their endpoints. Checks that stay keep their rhythm."""
        wanted = {
            Probe(cluster, endpoint, index, check)
            for cluster, checks, endpoints in asked
            for index, check in enumerate(checks)
            for endpoint in endpoints
        }
        for gone in self._tasks.keys() - wanted:
            self._tasks.pop(gone).cancel()
        for new in wanted - self._tasks.keys():
            self._tasks[new] = self._loop.create_task(self._run(new))

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _run(self, probe: Probe) -> None:
        # Not all at the same moment: thousands of endpoints may come with one policy.
        await asyncio.sleep(random.random() * min(1.0, probe.check.interval_s))  # noqa: S311
        host = probe.cluster.rpartition("|")[2]
        while True:
            async with self._places:
                problem = await attempt(probe.endpoint, probe.check, host, self._mark)
            self._told(probe.cluster, probe.endpoint, probe.number, problem)
            await asyncio.sleep(probe.check.interval_s)
