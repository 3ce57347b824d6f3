"""What a courier carries, from the proxy's words to the kernel lane's and back."""

import socket
import time
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from intercept.backends.kernel_lane import (
    InboundCounters,
    KernelConnection,
    KernelCounters,
    KernelEndpoint,
    KernelService,
)
from proxy.core.addresses import Address
from proxy.core.close_reason import CloseReason
from proxy.core.lower.kernel_messages import ToldService
from proxy.core.lower.kernel_reports import INBOUND, Counted, Seen
from proxy.core.report.counts import EndpointCounts

if TYPE_CHECKING:
    from bpf.direct_layout import End

_DISCARD = 9
_ENDINGS = (CloseReason.FINISHED, CloseReason.RESET, CloseReason.UPSTREAM_FAILED)


def service(told: ToldService) -> KernelService:
    endpoints = tuple(KernelEndpoint(*one) for one in told.endpoints)
    return KernelService(
        id=told.id,
        ip=told.ip,
        port=told.port,
        balance="round-robin" if told.round_robin else "random",
        endpoints=endpoints,
        affinity_s=round(told.affinity_s),
        denied=_is_denied(endpoints[0].ip if endpoints else told.ip, told.denied),
        rate_per_s=told.rate_per_s,
        burst=told.burst,
    )


def _is_denied(destination: str, networks: tuple[str, ...]) -> bool:
    """Whether the workload is among those denied, by the address that routing gives a socket that goes there: before it
    is connected it has none."""
    if not networks:
        return False
    with socket.socket(socket.AF_INET6 if ":" in destination else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((destination, _DISCARD))  # sends nothing
        except OSError:
            return False  # no way leads there
        source = ip_address(probe.getsockname()[0])
    return any(source in ip_network(text) for text in networks)


def counters(one: KernelCounters) -> Counted:
    counts = EndpointCounts(
        opened=one.opened,
        closed=one.closed,
        failed=one.failed,
        denied=one.denied,
        limited=one.limited,
        bytes_sent=one.bytes_sent,
        bytes_received=one.bytes_received,
        retransmits=one.retransmits,
        srtt_us=one.srtt_us,
    )
    return Counted(one.service, Address(one.ip, one.port), counts)


def inbound(one: InboundCounters) -> Counted:
    counts = EndpointCounts(
        opened=one.opened,
        closed=one.closed,
        bytes_sent=one.bytes_sent,
        bytes_received=one.bytes_received,
        retransmits=one.retransmits,
        srtt_us=one.srtt_us,
    )
    return Counted(INBOUND, Address("", one.port), counts)


def ended(one: "End") -> Seen:
    return Seen(
        service=INBOUND if one.inbound else one.service,
        endpoint=Address(*one.endpoint),
        client=Address(*one.client),
        counts=_moved(one.sent, one.received, one.retransmits, one.srtt_us),
        started_at=time.time() - (time.monotonic_ns() - one.begun_ns) / 1e9,
        age_s=(one.ended_ns - one.begun_ns) / 1e9,
        established=True,
        ending=_ENDINGS[one.ending],
    )


def live(one: KernelConnection) -> Seen:
    return Seen(
        service=one.service,
        endpoint=Address(*one.endpoint),
        client=Address(*one.client),
        counts=_moved(one.bytes_sent, one.bytes_received, one.retransmits, one.srtt_us),
        started_at=time.time() - one.age_s,
        age_s=one.age_s,
        established=one.established,
        ending=None,
    )


def _moved(sent: int, received: int, retransmits: int, srtt_us: int) -> EndpointCounts:
    return EndpointCounts(bytes_sent=sent, bytes_received=received, retransmits=retransmits, srtt_us=srtt_us)
