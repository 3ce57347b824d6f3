"""The kernel's half of the direct lane, as its callers see it: what it is told, and what it tells.

A backend that has one makes a `KernelLane` of its functions; whoever holds one needs to know no backend.
"""

from collections.abc import Callable, Collection, Sequence, Set
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from bpf.direct_layout import End

Balance = Literal["random", "round-robin"]


class KernelEndpoint(NamedTuple):
    ip: str
    port: int
    weight: int = 1


class KernelService(NamedTuple):
    """id: the caller's own, unique. affinity_s: how long a client keeps its endpoint, 0 for not at all; a client is a
    source address that sockets are bound to, and all that are not bound are one. denied: refused at connect().
    rate_per_s: of new connections, 0 for no limit; what is more is refused. Without endpoints all are refused."""

    id: int
    ip: str
    port: int
    balance: Balance
    endpoints: tuple[KernelEndpoint, ...]
    affinity_s: int = 0
    denied: bool = False
    rate_per_s: float = 0
    burst: int = 1


class KernelCounters(NamedTuple):
    """Of one endpoint of one service; with ip "" and port 0 what was counted of the service before an endpoint was
    chosen, where `failed` are those for which it had none. Bytes are the payload's, as of the last that was
    acknowledged; srtt_us 0: not measured."""

    service: int
    ip: str
    port: int
    opened: int = 0
    closed: int = 0
    failed: int = 0
    denied: int = 0
    limited: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    retransmits: int = 0
    srtt_us: int = 0


class InboundCounters(NamedTuple):
    """Of one port. Bytes are the payload's, sent by the workload and received by it."""

    port: int
    opened: int
    closed: int
    bytes_sent: int
    bytes_received: int
    retransmits: int
    srtt_us: int


class KernelConnection(NamedTuple):
    """inbound: from a client to the workload; endpoint is then the workload's own, and service 0. Bytes are the
    payload's, sent by the workload (and acknowledged) and received by it."""

    inbound: bool
    service: int
    endpoint: tuple[str, int]
    client: tuple[str, int]
    established: bool
    age_s: float
    bytes_sent: int
    bytes_received: int
    retransmits: int
    srtt_us: int


class KernelLane(NamedTuple):
    """push: makes exactly these services the kernel's. exchange: these come or replace what has their address and port,
    those at the other addresses go. push_inbound: exactly these ports go straight to the workload. telemetry,
    telemetry_inbound: totals that have changed since they were last told, all of them or as many as a call has time
    for; they never go back while the capture lives. ended: at most so many connections that have ended, each told once.
    live: those that are open. All raise CaptureError."""

    push: "Callable[[Sequence[KernelService]], None]"
    exchange: "Callable[[Sequence[KernelService], Collection[tuple[str, int]]], None]"
    telemetry: "Callable[[], list[KernelCounters]]"
    ended: "Callable[[int], list[End]]"
    push_inbound: "Callable[[Set[int]], None]"
    telemetry_inbound: "Callable[[], list[InboundCounters]]"
    live: "Callable[[], list[KernelConnection]]"
