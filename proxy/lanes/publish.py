"""Publishing: the policy in force is compiled down to every lane."""

from proxy.core.decide.lane import Lanes
from proxy.core.lanes import Lane
from proxy.core.lower.to_engine import rulings
from proxy.core.lower.to_kernel import direct_services, straight_ports
from proxy.core.policy.policy import Policy
from proxy.lanes.direct.lane import DirectLane
from proxy.lanes.punted.verdicts import Verdicts
from proxy.lanes.splice.lane import SpliceLane


class Publisher:
    """Belongs to the event loop. The lane that the operator forced is the one that `verdicts` begins with."""

    def __init__(self, verdicts: Verdicts, direct: DirectLane, splice: SpliceLane) -> None:
        self._verdicts = verdicts
        self._forced = verdicts.lanes.forced
        self._direct = direct
        self._splice = splice

    def put_in_force(self, policy: Policy) -> None:
        """Publish a new policy. It holds for new connections; open ones keep their verdict."""
        self._verdicts.put_in_force(policy)
        self.publish()

    def publish(self) -> None:
        """Compile the policy in force to the lanes that are available now, the cheapest lane first: what a lane takes
        never reaches the next one."""
        policy = self._verdicts.policy
        available = frozenset({Lane.SPLICE, Lane.DIRECT} if self._direct.available else {Lane.SPLICE})
        straight = straight_ports(policy, Lanes(self._forced, available))
        lanes = self._verdicts.lanes = Lanes(self._forced, available, frozenset(straight))
        self._direct.publish(direct_services(policy, lanes), straight)
        self._splice.put_in_force(rulings(policy, lanes))
