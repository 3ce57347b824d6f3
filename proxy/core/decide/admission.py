"""What happens to a connection that was punted to us: admitted, answered as a probe, or refused."""

from dataclasses import dataclass
from enum import StrEnum

from proxy.core.addresses import ClientAddress, OriginalDestination
from proxy.core.decide.loops import MAX_HOPS, OwnUpstreams
from proxy.core.decide.probes import ProbeRegistry
from proxy.core.lanes import Direction


class Refusal(StrEnum):
    """Why an accepted connection is reset without connecting anywhere."""

    MISSING_ORIGINAL_DESTINATION = "missing-original-destination"
    DIRECT_DIAL = "direct-dial"
    LOOP = "loop"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One punted connection. hops: how many of the engine's connections may lead to it."""

    direction: Direction
    peer: ClientAddress
    destination: OriginalDestination
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Admit:
    """hops: how many connections of ours, whoever made them, may lead to this one."""

    hops: int = 0


@dataclass(frozen=True, slots=True)
class AnswerProbe:
    token: str


@dataclass(frozen=True, slots=True)
class Refuse:
    reason: Refusal


Admission = Admit | AnswerProbe | Refuse


def judge(arrival: Arrival, probes: ProbeRegistry, own_upstreams: OwnUpstreams, now: float) -> Admission:
    """A probe is answered whoever asks. Connections without an original destination never come so far: the engine
    refuses them."""
    token = probes.token_for(arrival.destination, now)
    if token is not None:
        return AnswerProbe(token)
    hops = max(arrival.hops, own_upstreams.hops(arrival.peer, arrival.destination, arrival.direction))
    return Refuse(Refusal.LOOP) if hops > MAX_HOPS else Admit(hops)
