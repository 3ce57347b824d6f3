"""The verdict on an admitted connection: where it goes, as part of which cluster, by which lane and why that one."""

from dataclasses import dataclass

from proxy.core.addresses import OriginalDestination, UpstreamAddress
from proxy.core.lanes import Direction, Lane, LaneChoice

PASSTHROUGH = {Direction.OUTBOUND: "PassthroughCluster", Direction.INBOUND: "InboundPassthroughCluster"}
"""Istio's names for the clusters of destinations that no Service claims; dashboards know them."""

_REASONS = {
    LaneChoice.AUTO: "no Service claims the destination; HTTP is not parsed in this version, so its bytes are opaque",
    LaneChoice.SPLICE: "forced by --lane splice",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    upstream: UpstreamAddress
    cluster: str
    protocol: str
    lane: Lane
    lane_reason: str


def decide(direction: Direction, destination: OriginalDestination, lane: LaneChoice) -> Verdict:
    """Unclaimed destinations are passed through to their original address, in both directions."""
    return Verdict(
        upstream=UpstreamAddress(destination),
        cluster=PASSTHROUGH[direction],
        protocol="tcp",
        lane=Lane.SPLICE,
        lane_reason=_REASONS[lane],
    )
