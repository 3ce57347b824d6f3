"""The ladder: the cheapest lane that honours what is asked of a destination, and why it isn't a cheaper one."""

from dataclasses import dataclass, replace

from proxy.core.lanes import Direction, Lane, LaneChoice, Speaking
from proxy.core.policy.policy import Balancing, Cluster, Destination, Protocol, Timeouts

MOST_DIRECT_ENDPOINTS = 128
"""Of one destination: what the BPF program looks through (bpf/include/direct/wire.h)."""
NO_TIMEOUTS = Timeouts()

_MISSING = {
    Lane.DIRECT: "the direct lane needs eBPF capture, and inbound a port of which all claims allow it",
    Lane.PARSED: "HTTP is not parsed here, so its bytes are opaque",
}


@dataclass(frozen=True, slots=True)
class Lanes:
    """What the operator wants and what this proxy can do."""

    forced: LaneChoice = LaneChoice.AUTO
    available: frozenset[Lane] = frozenset({Lane.SPLICE})

    straight: frozenset[int] = frozenset()
    """Inbound ports that the kernel takes straight to the workload. It tells them apart by nothing but the port."""

    announced: frozenset[int] = frozenset()
    """Inbound ports at which the workload expects the PROXY protocol, which the kernel does not speak."""

    def of(self, direction: Direction, port: int) -> "Lanes":
        """Those that there are for a destination of that direction and port."""
        if direction is Direction.OUTBOUND or port in self.straight:
            return self
        return replace(self, available=self.available - {Lane.DIRECT})


def choose_lane(destination: Destination, forced: LaneChoice, available: frozenset[Lane]) -> tuple[Lane, str]:
    """The lane of a claimed destination and the reason. forced: the operator's `--lane`; a TrafficPolicy that names a
    lane overrules it. available: what this proxy can do; SPLICE always is."""
    wanted, by = (destination.lane, f"TrafficPolicy {destination.lane_policy}")
    if wanted is LaneChoice.AUTO:
        wanted, by = forced, "--lane"
    if wanted is LaneChoice.AUTO:
        return _cheapest(destination, available)
    lane = Lane(wanted.value)
    obstacle = _obstacle(destination, lane, available)
    if obstacle is None:
        return lane, f"forced by {by}"
    instead, why = _cheapest(destination, available)
    return instead, f"{by} asks for {lane}, but {obstacle}; {why}"


def _cheapest(destination: Destination, available: frozenset[Lane]) -> tuple[Lane, str]:
    if destination.l4_only:
        what = f"L4 policy only ({_why_l4(destination)})"
        obstacle = _obstacle(destination, Lane.DIRECT, available)
        return (Lane.DIRECT, what) if obstacle is None else (Lane.SPLICE, f"{what}; {obstacle}")
    if destination.l7_asked:
        what = destination.l7_asked
    elif destination.protocol is Protocol.DETECT:
        what = "nothing names the port's protocol"
    else:
        what = f"protocol {destination.protocol} ({destination.protocol_reason})"
    if Lane.PARSED in available:
        return Lane.PARSED, what
    return Lane.SPLICE, f"{what}; {_MISSING[Lane.PARSED]}"


def _why_l4(destination: Destination) -> str:
    return destination.route or f"protocol {destination.protocol} by {destination.protocol_reason}"


def _obstacle(destination: Destination, lane: Lane, available: frozenset[Lane]) -> str | None:
    """Why the lane can't carry the destination; None: it can."""
    if lane not in available:
        return _MISSING[lane]
    return direct_obstacle(destination) if lane is Lane.DIRECT else None


def direct_obstacle(destination: Destination) -> str | None:
    """What the kernel alone can't honour once it has connected the client to an endpoint; None: nothing."""
    if not destination.l4_only:
        return "the direct lane sees no protocol above TCP"
    weighted = [target for target in destination.targets if target.weight]
    if not weighted or any(target.cluster is None for target in weighted):
        return "a backend can't be resolved, which the proxy answers with a reset"
    clusters = [target.cluster for target in weighted if target.cluster is not None]
    if sum(max(1, len(cluster.endpoints)) for cluster in clusters) > MOST_DIRECT_ENDPOINTS:
        return f"the direct lane balances among at most {MOST_DIRECT_ENDPOINTS} endpoints"
    for cluster in clusters:
        found = _direct_obstacle(cluster, alone=len(clusters) == 1)
        if found is not None:
            return found
    return None


def _direct_obstacle(cluster: Cluster, *, alone: bool) -> str | None:
    if cluster.balancing is Balancing.LEAST_REQUEST and len(cluster.endpoints) > 1:
        return "LEAST_REQUEST needs the number of open connections, which the direct lane does not count"
    if cluster.settings.hash is not None and cluster.settings.hash.source_ip and len(cluster.endpoints) > 1:
        return "a hash of the client's address is made by the proxy"
    if cluster.max_connections is not None:
        return "maxConnections is kept by the proxy"
    if cluster.timeouts != NO_TIMEOUTS:
        return "connect, idle and lifetime limits and TCP keepalive are kept by the proxy"
    if alone:
        return None
    if cluster.affinity_s is not None:
        return "a client's endpoint within one backend of several is remembered by the proxy"
    if cluster.balancing is Balancing.PASSTHROUGH or not cluster.endpoints:
        return "one backend of several has no endpoints"
    return None


def speaking(destination: Destination, lane: Lane) -> Speaking:
    """What the engine is to do about the protocol, in that lane. gRPC and HTTP/2 pass as they are, once detected."""
    if lane is not Lane.PARSED:
        return Speaking.OPAQUE
    return Speaking.HTTP if destination.protocol is Protocol.HTTP else Speaking.DETECTED


def singly(lane: Lane, reason: str) -> tuple[Lane, str]:
    """The lane of a connection that is decided by itself: the engine relays its bytes."""
    if lane is not Lane.PARSED:
        return lane, reason
    return Lane.SPLICE, f"{reason}; but its connections are decided one by one, and then HTTP is not parsed"


def on_arrival(lane: Lane, reason: str) -> tuple[Lane, str]:
    """The lane of a connection that has come to the proxy although its destination has the direct lane."""
    if lane is not Lane.DIRECT:
        return lane, reason
    return Lane.SPLICE, f"{reason}; this connection was captured before the kernel knew of the destination"
