"""What happens to a connection that a listener has just accepted: admitted, answered as a probe, or refused."""

from dataclasses import dataclass
from enum import StrEnum

from proxy.core.addresses import Address, ClientAddress, ListenAddress, OriginalDestination
from proxy.core.lanes import Direction
from proxy.core.loops import OwnUpstreams
from proxy.core.probes import ProbeRegistry


class Refusal(StrEnum):
    """Why an accepted connection is reset without connecting anywhere."""

    MISSING_ORIGINAL_DESTINATION = "missing-original-destination"
    DIRECT_DIAL = "direct-dial"
    LOOP = "loop"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One accepted connection. destination is None when the kernel could not tell it."""

    direction: Direction
    listener_port: int
    peer: ClientAddress
    local: ListenAddress
    destination: OriginalDestination | None


@dataclass(frozen=True, slots=True)
class Admit:
    destination: OriginalDestination


@dataclass(frozen=True, slots=True)
class AnswerProbe:
    token: str


@dataclass(frozen=True, slots=True)
class Refuse:
    reason: Refusal


Admission = Admit | AnswerProbe | Refuse


def judge(arrival: Arrival, probes: ProbeRegistry, own_upstreams: OwnUpstreams, now: float) -> Admission:
    """A missing original destination is a refusal, whatever getsockname() says: connecting to our own listener's
    address would be a loop, and any other guess would send the bytes to somebody whom the client did not dial."""
    destination = arrival.destination
    if destination is None:
        return Refuse(Refusal.MISSING_ORIGINAL_DESTINATION)
    dialled: Address = destination
    reached: Address = arrival.local
    if dialled == reached and reached.port == arrival.listener_port:
        return Refuse(Refusal.DIRECT_DIAL)
    token = probes.token_for(destination, now)
    if token is not None:
        return AnswerProbe(token)
    if own_upstreams.is_loop(arrival.peer, destination, arrival.direction):
        return Refuse(Refusal.LOOP)
    return Admit(destination)
