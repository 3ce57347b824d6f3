"""What others than the event loop count, as the metrics want it."""

from collections.abc import Callable, Iterator

from proxy.core.close_reason import CloseReason
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction
from proxy.core.lower.kernel_reports import INBOUND
from proxy.core.report.counts import EndpointCounts
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.splice.lane import SpliceLane, reasons
from proxy.telemetry.endpoints import EndpointMetrics, EndpointSources
from proxy.telemetry.sources import Kept


def kept(lane: SpliceLane, direct: DirectLane) -> Iterator[Kept]:
    """Connections that the engine or the kernel has seen through, by all that the metrics tell apart."""
    for group, one in lane.counters():
        yield Kept(
            one.group,
            True,
            group.direction,
            group.verdict,
            opened=one.opened,
            ended=dict(reasons(one)),
            failures=one.connect_failures,
            retries=one.retries,
            to_upstream=one.bytes_sent,
            to_downstream=one.bytes_received,
        )
    for number, member, counts in direct.counts():
        inbound = number == INBOUND
        yield Kept(
            ("direct", number, member.endpoint),
            False,
            Direction.INBOUND if inbound else Direction.OUTBOUND,
            member.verdict,
            opened=counts.opened,
            ended={CloseReason.FINISHED: counts.closed},
            failures=counts.failed,
            retries=0,
            to_upstream=counts.bytes_received if inbound else counts.bytes_sent,
            to_downstream=counts.bytes_sent if inbound else counts.bytes_received,
        )


def endpoint_metrics(lane: Callable[[], SpliceLane], direct: DirectLane) -> EndpointMetrics:
    """lane: made later than the metrics."""
    return EndpointMetrics(EndpointSources(lambda: _kept_by_endpoint(lane()), lambda: _direct_by_endpoint(direct)))


def _kept_by_endpoint(lane: SpliceLane) -> Iterator[tuple[Verdict, EndpointCounts]]:
    for group, one in lane.counters():
        yield (
            group.verdict,
            EndpointCounts(
                opened=one.opened,
                closed=one.closed,
                failed=one.connect_failures,
                bytes_sent=one.bytes_sent,
                bytes_received=one.bytes_received,
            ),
        )


def _direct_by_endpoint(direct: DirectLane) -> Iterator[tuple[Verdict, EndpointCounts]]:
    return ((member.verdict, counts) for _, member, counts in direct.counts())
