"""Inbound ports that the kernel may take straight to the workload, since nothing that is claimed there needs more."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from proxy.core.decide.lane import Lanes, choose_lane
from proxy.core.decide.verdict import NOWHERE, Verdict
from proxy.core.lanes import Lane
from proxy.core.policy.policy import Claims, Destination, Key


@dataclass(slots=True)
class _Port:
    straight: dict[Key, Verdict] = field(default_factory=dict)
    """Claims that do without a proxy, and what is told about their connections."""
    others: set[Key] = field(default_factory=set)


class StraightPorts:
    """Keeps count of each port's claims, so that a change costs what has changed."""

    def __init__(self) -> None:
        self._ports: dict[int, _Port] = {}

    def begin_anew(self) -> None:
        self._ports.clear()

    def exchange(self, keys: Iterable[Key], inbound: Claims, lanes: Lanes) -> None:
        """keys: what is claimed otherwise than before. Raises before anything has changed."""
        judged = [(key, key in inbound, _straight(key[1], inbound.get(key), lanes)) for key in keys]
        for key, claimed, verdict in judged:
            port = self._ports.setdefault(key[1], _Port())
            port.straight.pop(key, None)
            port.others.discard(key)
            if verdict is not None:
                port.straight[key] = verdict
            elif claimed:
                port.others.add(key)
            if not port.straight and not port.others:
                del self._ports[key[1]]

    def verdicts(self) -> Mapping[int, Verdict]:
        """By port; the claim that came last names the connections."""
        return {
            number: port.straight[next(reversed(port.straight))]
            for number, port in self._ports.items()
            if port.straight and not port.others
        }


def _straight(port: int, destination: Destination | None, lanes: Lanes) -> Verdict | None:
    if destination is None or port in lanes.announced:
        return None
    lane, reason = choose_lane(destination, lanes.forced, lanes.available)
    if lane is not Lane.DIRECT or destination.denied or destination.rate_limit is not None:
        return None
    cluster = next(target.cluster for target in destination.targets if target.cluster is not None)
    return Verdict(
        upstream=NOWHERE,
        cluster=cluster.name,
        protocol=str(destination.protocol),
        lane=Lane.DIRECT,
        lane_reason=reason,
        service=cluster.service,
    )
