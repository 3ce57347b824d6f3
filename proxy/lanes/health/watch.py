"""Health keeping at the edge: the clock, the lanes' counts, and the way to the publisher."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping

from proxy.core.addresses import UpstreamAddress
from proxy.core.policy.policy import Policy
from proxy.core.resilience.cluster_health import ClusterHealth
from proxy.core.resilience.health import HEALTHY, Fitness, Health
from proxy.core.resilience.watched import Watched
from proxy.lanes.health.prober import Prober
from proxy.lanes.health.sources import Source

TICK_S = 0.25

_log = logging.getLogger("tidegate.proxy")


class HealthWatch:
    """Belongs to the event loop. Works from `start` to `close`; without a policy that asks for it, it does nothing.

    sources: what each lane has counted, by the lane's name. publish: takes another health."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sources: Mapping[str, Source],
        publish: Callable[[Health], None],
        *,
        mark: int | None,
    ) -> None:
        self._loop = loop
        self._sources = sources
        self._publish = publish
        self._watched = Watched()
        self._prober = Prober(loop, self._probed, mark)
        self._timer: asyncio.TimerHandle | None = None
        self._before = time.monotonic()
        self.health = HEALTHY
        """What was published last."""

    def exchange(self, policy: Policy) -> None:
        """A policy has come into force."""
        self._watched.exchange(policy, time.monotonic())
        self._prober.exchange(
            (name, one.settings.health_checks, sorted(one.members)) for name, one in self._watched.clusters.items()
        )

    def start(self) -> None:
        self._before = time.monotonic()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._prober.close()

    def in_a_row(self, cluster: str, endpoint: UpstreamAddress, why: str) -> None:
        """A lane that sees requests has seen as many failures in a row as the policy allows."""
        self._with(cluster, lambda one, now: one.in_a_row(endpoint, why, now))

    def tried(self, cluster: str, endpoint: UpstreamAddress, passed: bool) -> None:
        """How a request to an endpoint on trial went."""
        self._with(cluster, lambda one, now: one.tried(endpoint, passed, now))

    def _probed(self, cluster: str, endpoint: UpstreamAddress, check: int, problem: str | None) -> None:
        self._with(cluster, lambda one, _: one.probed(endpoint, check, problem))

    def _with(self, cluster: str, do: Callable[[ClusterHealth, float], None]) -> None:
        known = self._watched.clusters.get(cluster)
        if known is not None:
            now = time.monotonic()
            do(known, now)
            self._look(now)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        now = time.monotonic()
        elapsed_s, self._before = now - self._before, now
        for name, cluster in self._watched.clusters.items():
            for lane, tallies in self._sources.items():
                cluster.counted(lane, tallies(name), elapsed_s, now)
        self._look(now)

    def _look(self, now: float) -> None:
        health = self._watched.health(now)
        if health is None:
            return
        for line in _told(self.health, health):
            _log.info("%s", line)
        self.health = health
        self._publish(health)


def _told(before: Health, after: Health) -> Iterator[str]:
    """A line for each endpoint that is ejected, or no longer is."""
    for name in sorted(after.differing(before)):
        old, new = before.of(name) or {}, after.of(name) or {}
        for endpoint in sorted({*old, *new}):
            was, now = old.get(endpoint), new.get(endpoint)
            if now is not None and not now.percent and (was is None or was.percent):
                yield f"{name}: {endpoint} gets no connections: {now.reason}"
            elif was is not None and not was.percent and (now is None or now.percent):
                yield f"{name}: {endpoint} gets connections again{_how(now)}"


def _how(now: Fitness | None) -> str:
    return "" if now is None else f", {now.percent} % of its share: {now.reason}"
