"""From one policy to the next, lane by lane: only destinations whose claim, lane or health has changed are compiled.

The whole is what `rulings`, `direct_services` and `straight_ports` make of the same values; tests hold this to it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from proxy.core.decide.lane import Lanes
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction
from proxy.core.lower.straight import StraightPorts
from proxy.core.lower.to_engine import Ruling, Site, ruling, unclaimed
from proxy.core.lower.to_kernel import BalancedService, balanced_service
from proxy.core.policy.difference import Difference, difference
from proxy.core.policy.policy import NO_POLICY, Claims, Destination, Key, Policy
from proxy.core.resilience.health import HEALTHY, Health

BREATH = 16
"""Destinations that are compiled between two breaths."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to change in every lane. `lanes`, `policy` and `health` are whole, the rest is what differs."""

    policy: Policy
    lanes: Lanes
    health: Health
    difference: Difference
    rulings: Mapping[Site, Ruling | None]
    """None: connections to the site are decided one by one."""
    sites_gone: frozenset[Site]
    services: Mapping[Key, BalancedService]
    services_gone: frozenset[Key]
    straight: Mapping[int, Verdict]
    """All of them."""


class Lowering:
    """Remembers what was compiled last. After an exception, the next exchange compiles everything anew."""

    def __init__(self, breathe: Callable[[], None] = lambda: None) -> None:
        """breathe: called again and again while compiling, so that other threads get their turn."""
        self._breathe = breathe
        self._policy = NO_POLICY
        self._health = HEALTHY
        self._lanes: Lanes | None = None
        """None: nothing that was compiled holds."""
        self._straight = StraightPorts()
        self._balanced: set[Key] = set()
        self._senders: dict[str, set[Key]] = {}
        """Outbound destinations by the clusters that they send to."""

    def distrust(self) -> None:
        """What was compiled last has not come into force everywhere: the next exchange is whole."""
        self._lanes = None

    def exchange(self, policy: Policy, lanes: Lanes, health: Health) -> Publication:
        """lanes: without the straight ports, which follow from the policy."""
        changed = difference(self._policy, policy)
        before, self._lanes = self._lanes, None
        anew = before is None or (before.forced, before.available) != (lanes.forced, lanes.available)
        if anew:
            self._straight.begin_anew()
        self._straight.exchange(policy.inbound if anew else changed.inbound, policy.inbound, lanes)
        straight = self._straight.verdicts()
        lanes = replace(lanes, straight=frozenset(straight))
        outbound, inbound = changed.outbound, changed.inbound
        if before is None or anew:
            outbound, inbound = outbound.union(policy.outbound), inbound.union(policy.inbound)
        else:
            ports = before.straight ^ lanes.straight
            inbound = inbound.union(key for key in policy.inbound if key[1] in ports) if ports else inbound
            outbound = outbound.union(*(self._senders.get(name, ()) for name in health.differing(self._health)))
        services = self._services(policy, outbound, lanes, health)
        rulings = self._rulings(policy, outbound, inbound, lanes, health)
        if anew:
            rulings |= {Site(direction): unclaimed(direction, lanes) for direction in Direction}
        sites = {Site(Direction.OUTBOUND, *key) for key in outbound}
        sites |= {Site(Direction.INBOUND, *key) for key in inbound}
        services_gone = frozenset(self._balanced.intersection(outbound) - services.keys())
        self._balanced -= services_gone
        self._balanced |= services.keys()
        self._remember_senders(policy, changed.outbound)
        self._policy, self._lanes, self._health = policy, lanes, health
        return Publication(
            policy=policy,
            lanes=lanes,
            health=health,
            difference=changed,
            rulings=rulings,
            sites_gone=frozenset(sites - rulings.keys()),
            services=services,
            services_gone=services_gone,
            straight=straight,
        )

    def _services(
        self, policy: Policy, keys: Iterable[Key], lanes: Lanes, health: Health
    ) -> dict[Key, BalancedService]:
        found: dict[Key, BalancedService] = {}
        for key, destination in self._claimed(policy.outbound, keys):
            service = balanced_service(key, destination, lanes, health)
            if service is not None:
                found[key] = service
        return found

    def _rulings(
        self, policy: Policy, outbound: Iterable[Key], inbound: Iterable[Key], lanes: Lanes, health: Health
    ) -> dict[Site, Ruling | None]:
        found = {
            Site(Direction.OUTBOUND, *key): ruling(destination, lanes, health)
            for key, destination in self._claimed(policy.outbound, outbound)
        }
        for key, destination in self._claimed(policy.inbound, inbound):
            found[Site(Direction.INBOUND, *key)] = ruling(destination, lanes.of(Direction.INBOUND, key[1]), health)
        return found

    def _claimed(self, claims: Claims, keys: Iterable[Key]) -> Iterator[tuple[Key, Destination]]:
        for number, key in enumerate(keys):
            if number % BREATH == 0:
                self._breathe()
            destination = claims.get(key)
            if destination is not None:
                yield key, destination

    def _remember_senders(self, policy: Policy, changed: Iterable[Key]) -> None:
        for key in changed:
            for cluster in _clusters(self._policy.outbound.get(key)):
                self._senders[cluster].discard(key)
                if not self._senders[cluster]:
                    del self._senders[cluster]
            for cluster in _clusters(policy.outbound.get(key)):
                self._senders.setdefault(cluster, set()).add(key)


def _clusters(destination: Destination | None) -> set[str]:
    targets = () if destination is None else destination.targets
    return {target.cluster.name for target in targets if target.cluster is not None}
