"""All that has to be remembered from one decision to the next. Keyed by names and addresses, not by a policy's values:
it survives the exchange of policies."""

from proxy.core.balance.affinity import Affinity
from proxy.core.balance.loads import Loads
from proxy.core.balance.rate_limit import RateLimits
from proxy.core.balance.turns import Turns
from proxy.core.policy.difference import Difference


class Ledger:
    def __init__(self) -> None:
        self.loads = Loads()
        self.turns = Turns()
        self.affinity = Affinity()
        self.rate_limits = RateLimits()

    def exchange(self, difference: Difference) -> None:
        """Forget what belongs to neither the new policy nor an open connection; takes as long as what has changed."""
        self.loads.exchange(come=difference.members_come, gone=difference.members_gone)
        self.turns.forget(difference.clusters_gone)
        self.rate_limits.forget(difference.destinations_gone)
