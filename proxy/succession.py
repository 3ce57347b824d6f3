"""One proxy after the other: the one before us steps back when we are ready, and we do when one comes after us."""

import asyncio
from dataclasses import dataclass

from proxy.admin.pair import Endpoints
from proxy.control.doors import Doors
from proxy.control.hand_over import STAND_BY_S, HandOver
from proxy.control.predecessor import Predecessor
from proxy.feed.feed import Feed
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.dns.relay import DnsRelay
from proxy.lanes.drain import Drain
from proxy.lanes.health.watch import HealthWatch
from proxy.lanes.splice.listening import Listening
from proxy.settings import ProxySettings
from proxy.start.startup import Started


@dataclass(frozen=True, slots=True)
class Parts:
    """What ends when another proxy has taken over, though our connections go on."""

    endpoints: Endpoints
    dns: DnsRelay
    doors: Doors
    direct: DirectLane
    health: HealthWatch
    feed: Feed | None


class Succession:
    """Belongs to the event loop. `parts` is to be set before anything is opened."""

    parts: Parts

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: ProxySettings,
        started: Started,
        drain: Drain,
        listening: Listening,
    ) -> None:
        self._loop = loop
        self._before = Predecessor(started.predecessor)
        self._takes_over = self._before.waits
        drain.begins = self._before.release
        self.after = HandOver(
            loop,
            drain,
            listening,
            started.to_hand_over(),
            stand_by_s=min(STAND_BY_S, settings.drain_timeout_s),
            bound_to="" if settings.supervisor_fd is None else "`tidegate run` or an enrolment",
            left=self._leave,
        )

    def waits(self) -> bool:
        """The proxy before us still accepts in our place."""
        return self._before.waits

    def open_early(self) -> None:
        """To probes and tools, unless another proxy answers them until we accept."""
        self.after.parts = (self.parts.endpoints, self.parts.dns, self.parts.doors, self.parts.direct)
        if not self._takes_over:
            self._open()

    async def step_in(self) -> None:
        """Everything is ready but the listeners: the proxy before us steps back. Raises ProxyError when it can't."""
        await self._before.step_back(self._loop)

    def open_late(self) -> None:
        if self._takes_over:
            self._open()

    def close(self) -> None:
        self._before.close()

    def _open(self) -> None:
        self.parts.endpoints.open()
        self.parts.doors.open_to_tools(self._loop)

    def _leave(self) -> None:
        if self.parts.feed is not None:
            self.parts.feed.close()
        self.parts.health.close()
        self.parts.dns.close()
        self.parts.endpoints.leave()
        self.parts.doors.close()
