"""The parts of the running proxy that endpoints look at and act on."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from cext.engine.clusters import EndpointCounts
from proxy.control.health import Readiness
from proxy.core.addresses import UpstreamAddress
from proxy.core.report.record import ConnectionRecord
from proxy.core.report.totals import JsonRow
from proxy.feed.feed import Feed
from proxy.lanes.all_lanes import AllLanes
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.drain import Drain
from proxy.lanes.punted.connections import Connections
from proxy.lanes.punted.verdicts import Verdicts
from proxy.lanes.splice.lane import SpliceLane
from proxy.lanes.telling import Telling
from proxy.settings import ProxySettings
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.recent import RecentConnections
from proxy.telemetry.request_counts import RequestCounts
from proxy.telemetry.requests import Requests
from proxy.telemetry.scrapes import Page
from proxy.telemetry.tap import Tap


@dataclass(frozen=True, slots=True)
class Running:
    settings: ProxySettings
    readiness: Readiness
    drain: Drain
    verdicts: Verdicts
    feed: Feed | None
    """None: there is no configuration."""
    splice: SpliceLane
    punted: Connections
    direct: DirectLane
    access_log: AccessLog
    metrics: Callable[[str], Awaitable[Page]]
    """For an Accept header."""
    requests: Requests
    request_counts: RequestCounts
    tap: Tap
    totals: Callable[[], Awaitable[list[JsonRow]]]
    request_endpoints: Callable[[str], Mapping[UpstreamAddress, EndpointCounts]]
    """By a cluster's name: what requests did with its endpoints."""
    ended: RecentConnections

    def live(self) -> Iterator[ConnectionRecord]:
        """Every open connection, in whichever lane."""
        yield from self.splice.live()
        yield from (connection.record() for connection in self.punted.live())
        yield from self.direct.live()


def running_parts(
    settings: ProxySettings,
    lanes: AllLanes,
    told: Telling,
    *,
    readiness: Readiness,
    drain: Drain,
    feed: Feed | None,
    metrics: Callable[[str], Awaitable[Page]],
) -> Running:
    requests = told.of_requests
    return Running(
        settings=settings,
        readiness=readiness,
        drain=drain,
        verdicts=lanes.verdicts,
        feed=feed,
        splice=lanes.splice,
        punted=lanes.punted,
        direct=lanes.direct,
        access_log=told.log,
        metrics=metrics,
        requests=requests.requests,
        request_counts=requests.counts,
        tap=requests.tap,
        totals=requests.totals.rows,
        request_endpoints=lanes.requests.counts,
        ended=told.ended,
    )
