"""Every lane of one proxy, and what publishes policy and health to them: which of them hears what from which."""

import asyncio
from collections.abc import Callable

from cext.engine.engine import Engine
from proxy.core.decide.lane import Lanes
from proxy.core.decide.probes import ProbeRegistry
from proxy.lanes import counting
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.health import sources
from proxy.lanes.health.watch import HealthWatch
from proxy.lanes.held import HeldProbes
from proxy.lanes.options import (
    add_headers,
    asking,
    engine_log,
    explicit_lane,
    lane_defaults,
    lane_listeners,
    upstream_options,
)
from proxy.lanes.parsed.clusters import HealthEvents
from proxy.lanes.parsed.lane import RequestLane
from proxy.lanes.publish import Publisher
from proxy.lanes.punted.connections import Connections
from proxy.lanes.punted.verdicts import Verdicts
from proxy.lanes.splice.lane import SpliceLane
from proxy.lanes.telling import Telling, punted_events, splice_events
from proxy.settings import ProxySettings
from proxy.start.startup import Started
from proxy.telemetry.health_metrics import HealthMetrics


class AllLanes:
    """Belongs to the event loop. The engine is the caller's, who closes it between `stop` and `release`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        engine: Engine,
        settings: ProxySettings,
        started: Started,
        telling: Telling,
        *,
        expect_direct: bool,
        forgotten: Callable[[], None],
    ) -> None:
        """expect_direct: there are companions, and Services for the direct lane to carry. forgotten: told of a punted
        connection that has gone without having been relayed. Raises BadSetting for a filter that can't be loaded."""
        # Of lanes that tell each other things one is made later: it is reached through `self`.
        self._loop = loop
        self.verdicts = Verdicts(Lanes(forced=settings.lane, announced=frozenset(settings.announced)))
        probes = ProbeRegistry()
        self.direct = DirectLane(
            lambda: self.publisher.publish(),  # noqa: PLW0108
            telling.observer.direct_ended,
            loop.call_soon,
            expected=expect_direct,
        )
        self.punted = Connections(
            loop,
            engine,
            probes,
            punted_events(telling.metrics, telling.observer, forgotten),
            verdicts=self.verdicts,
            upstream_options=upstream_options(settings, started),
            idle_timeout_s=settings.idle_timeout_s,
        )
        add_headers(engine, settings)
        engine.limit_bodies(settings.largest_body)
        # The workers read the door from the first site on, which is published later.
        self.requests = RequestLane(
            engine,
            asking(settings),
            lambda cluster, endpoint: self.splice.request_group(cluster, endpoint),  # noqa: PLW0108
            HealthEvents(
                in_a_row=lambda *told: self.health.in_a_row(*told),  # noqa: PLW0108
                tried=lambda *told: self.health.tried(*told),  # noqa: PLW0108
            ),
            settings.connect_timeout_s,
        )
        self.splice = SpliceLane(
            engine,
            lane_listeners(settings, started),
            lane_defaults(settings),
            splice_events(telling.metrics, telling.observer, telling.log, self.punted),
            log=engine_log(settings),
            log_texts=telling.log.texts,
            announced=settings.announced,
            number_of=self.requests.number,
        )
        self.explicit = explicit_lane(engine, settings, started, lambda: self.verdicts.policy)
        self.held = HeldProbes(probes, self.splice)
        self.publisher = Publisher(loop, self.verdicts, self.direct, self.splice, self.requests)
        self.health = HealthWatch(
            loop,
            sources.of_all(self.splice, self.requests, self.direct, lambda: self.verdicts.ledger.loads),
            self.publisher.set_health,
            mark=settings.proxy_mark,
        )
        telling.metrics.add(counting.endpoint_metrics(lambda: self.splice, self.direct))
        telling.metrics.add(HealthMetrics(lambda: self.verdicts.health))

    async def start(self) -> None:
        """Returns when the first policy is in force in the proxy itself; the listeners are closed yet."""
        self.health.start()
        self.requests.start(self._loop)
        if self.explicit is not None:
            self.explicit.start(self._loop)
        await self.publisher.start()

    def stop(self) -> None:
        """Before the engine's close."""
        self.publisher.close()
        self.health.close()
        self.requests.close()
        if self.explicit is not None:
            self.explicit.close()

    def release(self) -> None:
        """After the engine's close."""
        self.requests.release()
        self.punted.close()
        self.splice.take_last_records()
