"""The verdict on an admitted connection: where it goes, as part of which cluster, by which lane and why that one."""

from dataclasses import dataclass, field

from proxy.core.addresses import Address, OriginalDestination, UpstreamAddress
from proxy.core.close_reason import CloseReason
from proxy.core.lanes import Direction, Lane, LaneChoice
from proxy.core.policy.policy import Cluster, Destination, ServiceName, Timeouts

PASSTHROUGH = {Direction.OUTBOUND: "PassthroughCluster", Direction.INBOUND: "InboundPassthroughCluster"}
"""Istio's names for the clusters of destinations that no Service claims; dashboards know them."""

NOWHERE = UpstreamAddress(Address("", 0))
"""In place of an address that was never chosen."""

_REASONS = {
    LaneChoice.AUTO: "no Service claims the destination",
    LaneChoice.SPLICE: "forced by --lane splice",
    LaneChoice.DIRECT: "--lane direct can't be had: no Service claims the destination",
    LaneChoice.PARSED: "forced by --lane parsed",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`upstream` is NOWHERE exactly when there is a `refusal`: the connection is reset without connecting anywhere."""

    upstream: UpstreamAddress
    cluster: str
    protocol: str
    lane: Lane
    lane_reason: str
    service: ServiceName | None = None
    """Whose metrics count it; None: no Service claims the destination."""
    refusal: CloseReason | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    claimed: Destination | None = None
    chosen: Cluster | None = None
    """The cluster that `upstream` belongs to, when the destination is claimed."""


def decide(direction: Direction, destination: OriginalDestination, lane: LaneChoice) -> Verdict:
    """Unclaimed destinations are passed through to their original address, in both directions."""
    return Verdict(
        upstream=UpstreamAddress(destination),
        cluster=PASSTHROUGH[direction],
        protocol="tcp",
        lane=Lane.SPLICE,
        lane_reason=_REASONS[lane],
    )
