"""The policy in force, and its use: here the clock and the dice meet the pure decision."""

import random
import time
from collections.abc import Collection

from proxy.core.addresses import ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.balance.ledger import Ledger
from proxy.core.decide.connection import Circumstances, decide, decide_again
from proxy.core.decide.lane import Lanes
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction
from proxy.core.policy.difference import Difference
from proxy.core.policy.policy import NO_POLICY, Policy
from proxy.core.resilience.health import HEALTHY, Health

MAX_ATTEMPTS = 16
"""Endpoints tried for one connection, as long as its connect timeout lasts."""


class Verdicts:
    """Decides on connections and remembers what was decided. Belongs to the event loop.

    A verdict with an upstream counts as a connection of its endpoint from `first` or `other` on, until `ended`.
    """

    def __init__(self, lanes: Lanes) -> None:
        self.ledger = Ledger()
        self.lanes = lanes
        self._policy = NO_POLICY
        self._health = HEALTHY

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def health(self) -> Health:
        return self._health

    def exchange(self, policy: Policy, lanes: Lanes, health: Health, difference: Difference) -> None:
        """For new connections; those that are open keep the verdict that they have. difference: from the policy that
        was in force."""
        self._policy, self._health, self.lanes = policy, health, lanes
        self.ledger.exchange(difference)

    def first(self, direction: Direction, destination: OriginalDestination, client: ClientAddress) -> Verdict:
        verdict = decide(self._policy, direction, destination, client, lanes=self.lanes, at=self._now())
        self._took(verdict)
        return verdict

    def other(
        self,
        verdict: Verdict,
        destination: OriginalDestination,
        client: ClientAddress,
        failed: Collection[UpstreamAddress],
    ) -> Verdict | None:
        """After the endpoint of `verdict` refused: the verdict with another one, or None. `verdict` has ended then,
        and must not be given to `ended`, exactly when another one is returned."""
        if verdict.chosen is None or len(failed) >= MAX_ATTEMPTS:
            return None
        # Given back first, or the connection itself would stand in its own way at a limit.
        self.ended(verdict)
        again = decide_again(verdict, destination, client, failed, self._now())
        self._took(verdict if again is None else again)
        return again

    def connected(self, verdict: Verdict) -> None:
        if verdict.chosen is not None:
            self.ledger.loads.connected(verdict.chosen.name, verdict.upstream)

    def failed(self, verdict: Verdict) -> None:
        """The endpoint did not take the connection."""
        if verdict.chosen is not None:
            self.ledger.loads.failed(verdict.chosen.name, verdict.upstream)

    def ended(self, verdict: Verdict) -> None:
        if verdict.chosen is not None and verdict.refusal is None:
            self.ledger.loads.released(verdict.chosen.name, verdict.upstream)

    def _took(self, verdict: Verdict) -> None:
        if verdict.chosen is not None and verdict.refusal is None:
            self.ledger.loads.taken(verdict.chosen.name, verdict.upstream)

    def _now(self) -> Circumstances:
        return Circumstances(self.ledger, time.monotonic(), random.random, self._health)
