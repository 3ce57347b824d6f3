"""The direct lane: destinations that the kernel balances by itself at connect(), with no proxy in the path."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.balance.weights import parts
from proxy.core.decide.lane import Lanes, choose_lane
from proxy.core.decide.verdict import NOWHERE, Verdict
from proxy.core.lanes import Lane
from proxy.core.lower.kernel_messages import ToldService
from proxy.core.lower.straight import StraightPorts
from proxy.core.policy.policy import Balancing, Cluster, Destination, Policy
from proxy.core.resilience.health import HEALTHY, Health


class Member(NamedTuple):
    """An endpoint's part of the connections. `of`: what is told about them, but for the endpoint."""

    endpoint: UpstreamAddress
    weight: int
    of: Verdict

    @property
    def verdict(self) -> Verdict:
        """What is told about them; made when it is asked for, for there are many endpoints."""
        return replace(self.of, upstream=self.endpoint)


@dataclass(frozen=True, slots=True)
class BalancedService:
    """One address of a Service as the kernel gets it."""

    ip: str
    port: int
    destination: Destination
    members: tuple[Member, ...]
    """None: connections are refused, for there is nothing to connect to."""
    verdict: Verdict
    """Of what never came to one of the members."""
    round_robin: bool
    affinity_s: float | None

    def told(self, id_: int) -> ToldService:
        """As the kernel's side gets it. id_: by which it tells of it in turn."""
        limit = self.destination.rate_limit
        return ToldService(
            id=id_,
            ip=self.ip,
            port=self.port,
            round_robin=self.round_robin,
            endpoints=tuple((one.endpoint.ip, one.endpoint.port, one.weight) for one in self.members),
            affinity_s=self.affinity_s or 0,
            denied=self.destination.denied.networks,
            rate_per_s=0 if limit is None else limit.per_s,
            burst=1 if limit is None else limit.burst,
        )


def direct_services(policy: Policy, lanes: Lanes, health: Health = HEALTHY) -> tuple[BalancedService, ...]:
    """Those of the outbound destinations whose lane is the direct one."""
    found = (balanced_service(key, destination, lanes, health) for key, destination in policy.outbound.items())
    return tuple(one for one in found if one is not None)


def balanced_service(
    address: tuple[str, int], destination: Destination, lanes: Lanes, health: Health
) -> BalancedService | None:
    """None: the destination has another lane."""
    lane, reason = choose_lane(destination, lanes.forced, lanes.available)
    return _service(*address, destination, reason, health) if lane is Lane.DIRECT else None


def straight_ports(policy: Policy, lanes: Lanes) -> Mapping[int, Verdict]:
    """The inbound ports that the kernel may take straight to the workload; and what is told about their
    connections."""
    ports = StraightPorts()
    ports.exchange(policy.inbound, policy.inbound, lanes)
    return ports.verdicts()


def _service(ip: str, port: int, destination: Destination, reason: str, health: Health) -> BalancedService:
    clusters = [target.cluster for target in destination.targets if target.weight and target.cluster is not None]
    asked = UpstreamAddress(Address(ip, port))

    def verdict(cluster: Cluster) -> Verdict:
        return Verdict(
            upstream=NOWHERE,
            cluster=cluster.name,
            protocol=str(destination.protocol),
            lane=Lane.DIRECT,
            lane_reason=reason,
            service=cluster.service,
        )

    verdicts = {cluster.name: verdict(cluster) for cluster in clusters}
    general = verdicts[clusters[0].name]
    if clusters[0].balancing is Balancing.PASSTHROUGH:
        members: tuple[Member, ...] = (Member(asked, 1, general),)
    else:
        members = tuple(
            Member(part.endpoint, part.weight, verdicts[part.cluster.name])
            for part in parts(destination.targets, health)
        )
    affinity = destination.affinity_s if destination.affinity_s is not None else clusters[0].affinity_s
    in_turn = all(cluster.balancing is Balancing.ROUND_ROBIN for cluster in clusters)
    return BalancedService(ip, port, destination, members, general, in_turn, affinity)
