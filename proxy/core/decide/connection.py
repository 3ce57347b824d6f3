"""The decision on an admitted connection: policy, destination, client, time and some randomness -> a verdict."""

from collections.abc import Collection
from dataclasses import dataclass

from proxy.core.addresses import ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.balance.choose import choose, pick_target
from proxy.core.balance.ledger import Ledger
from proxy.core.close_reason import CloseReason
from proxy.core.decide.lane import Lanes, choose_lane, on_arrival, singly
from proxy.core.decide.verdict import NOWHERE, Verdict
from proxy.core.decide.verdict import decide as pass_through
from proxy.core.dice import Random
from proxy.core.lanes import Direction, Lane
from proxy.core.policy.policy import Balancing, Cluster, Destination, Policy, Protocol, Timeouts
from proxy.core.resilience.health import HEALTHY, Health, usable

_NO_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision depends on beside the policy. `now`: seconds of the ledger's monotonic clock."""

    ledger: Ledger
    now: float
    random: Random
    health: Health = HEALTHY


def decide(
    policy: Policy,
    direction: Direction,
    destination: OriginalDestination,
    client: ClientAddress,
    *,
    lanes: Lanes,
    at: Circumstances,
) -> Verdict:
    """Deny rules first, then the rate limit, then the target, its limit of connections and an endpoint. The ledger is
    told of what the decision itself uses up (a token, a turn); the caller tells it of the connection."""
    claimed = policy.claimed(direction, destination)
    if claimed is None:
        return pass_through(direction, destination, lanes.forced)
    lane, reason = on_arrival(*choose_lane(claimed, lanes.forced, lanes.of(direction, destination.port).available))
    lane, reason = singly(lane, reason)
    sending = _Sending(claimed, lane, reason, destination, client.ip, (), at)
    if client.ip in claimed.denied:
        return sending.refused(CloseReason.DENIED_SOURCE)
    if claimed.rate_limit is not None and not at.ledger.rate_limits.admits(claimed.name, claimed.rate_limit, at.now):
        return sending.refused(CloseReason.RATE_LIMITED)
    return sending.verdict()


def decide_again(
    verdict: Verdict,
    destination: OriginalDestination,
    client: ClientAddress,
    failed: Collection[UpstreamAddress],
    at: Circumstances,
) -> Verdict | None:
    """Another endpoint after those in `failed` did not take the connection; None: there is none to go to."""
    if verdict.claimed is None or verdict.chosen is None or verdict.chosen.balancing is Balancing.PASSTHROUGH:
        return None
    sending = _Sending(verdict.claimed, verdict.lane, verdict.lane_reason, destination, client.ip, failed, at)
    again = sending.verdict()
    return again if again.refusal is None else None


@dataclass(frozen=True, slots=True)
class _Sending:
    """From a claimed destination to one of its endpoints."""

    claimed: Destination
    lane: Lane
    lane_reason: str
    destination: OriginalDestination
    client: str
    failed: Collection[UpstreamAddress]
    at: Circumstances

    def verdict(self) -> Verdict:
        """Affinity of the destination itself holds across its targets, that of a backend Service within it."""
        known = self._remembered(self.claimed.name, self.claimed.affinity_s)
        owner = None if known is None else self._owner(known)
        if known is not None and owner is not None:
            return self._to(owner, known)
        index = pick_target(self.claimed.targets, self.at.health, self.failed, self.at.random)
        if index is None:
            return self.refused(CloseReason.NO_ENDPOINTS if self.failed else CloseReason.UNRESOLVED_BACKEND)
        cluster = self.claimed.targets[index].cluster
        if cluster is None:
            return self.refused(CloseReason.UNRESOLVED_BACKEND)
        if cluster.balancing is Balancing.PASSTHROUGH:
            return self._to(cluster, UpstreamAddress(self.destination))
        endpoint = self._endpoint(cluster)
        if endpoint is None:
            return self.refused(CloseReason.NO_ENDPOINTS, cluster)
        return self._to(cluster, endpoint)

    def _endpoint(self, cluster: Cluster) -> UpstreamAddress | None:
        fit = usable(cluster, self.at.health)
        if self.claimed.affinity_s is None:
            known = self._remembered(cluster.name, cluster.affinity_s)
            if known is not None and any(one.endpoint == known for one in fit):
                return known
        if self.failed:
            fit = [one for one in fit if one.endpoint not in self.failed]
        return choose(cluster, fit, self.at.ledger.loads, self.at.ledger.turns, self.at.random)

    def _remembered(self, name: str, affinity_s: float | None) -> UpstreamAddress | None:
        if affinity_s is None:
            return None
        known = self.at.ledger.affinity.remembered(name, self.client, self.at.now)
        return None if known in self.failed else known

    def _owner(self, endpoint: UpstreamAddress) -> Cluster | None:
        """The cluster with a share of the connections that can use the endpoint; None: it has gone or is ejected, or
        its cluster has no share."""
        for target in self.claimed.targets:
            if target.weight and target.cluster is not None and endpoint in target.cluster.endpoints:
                fit = any(one.endpoint == endpoint for one in usable(target.cluster, self.at.health))
                return target.cluster if fit else None
        return None

    def _to(self, cluster: Cluster, endpoint: UpstreamAddress) -> Verdict:
        ledger, now = self.at.ledger, self.at.now
        if cluster.max_connections is not None and ledger.loads.active(cluster.name) >= cluster.max_connections:
            return self.refused(CloseReason.MAX_CONNECTIONS, cluster)
        if self.claimed.affinity_s is not None:
            ledger.affinity.remember(self.claimed.name, self.client, endpoint, now + self.claimed.affinity_s)
        elif cluster.affinity_s is not None:
            ledger.affinity.remember(cluster.name, self.client, endpoint, now + cluster.affinity_s)
        return self._made(cluster, endpoint, None)

    def refused(self, reason: CloseReason, cluster: Cluster | None = None) -> Verdict:
        return self._made(cluster, NOWHERE, reason)

    def _made(self, cluster: Cluster | None, upstream: UpstreamAddress, refusal: CloseReason | None) -> Verdict:
        claimed = self.claimed
        return Verdict(
            upstream=upstream,
            cluster=claimed.name if cluster is None else cluster.name,
            protocol="tcp" if claimed.protocol is Protocol.DETECT else str(claimed.protocol),
            lane=self.lane,
            lane_reason=self.lane_reason,
            service=claimed.service if cluster is None else cluster.service,
            refusal=refusal,
            timeouts=_NO_TIMEOUTS if cluster is None else cluster.timeouts,
            claimed=claimed,
            chosen=cluster,
        )
