"""The direct lane's services as callers give them, and as its map holds them. Pure."""

import struct
from collections.abc import Sequence
from typing import Literal, NamedTuple

from bpf import direct_layout
from bpf.direct_layout import ServiceFlag
from intercept.errors import CaptureError

Balance = Literal["random", "round-robin"]

_NANOSECONDS = 1_000_000_000
_MOST = 2**63 // _NANOSECONDS


class DirectEndpoint(NamedTuple):
    ip: str
    port: int
    weight: int = 1


class DirectService(NamedTuple):
    """id: the caller's own, unique. affinity_s: how long a client keeps its endpoint, 0 for not at all; a client is a
    source address that sockets are bound to, and all that are not bound are one. denied: refused at connect().
    rate_per_s: of new connections, 0 for no limit; what is more is refused. Without endpoints all are refused."""

    id: int
    ip: str
    port: int
    balance: Balance
    endpoints: tuple[DirectEndpoint, ...]
    affinity_s: int = 0
    denied: bool = False
    rate_per_s: float = 0
    burst: int = 1


class DirectCounters(NamedTuple):
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


def packed(services: Sequence[DirectService]) -> dict[bytes, bytes]:
    """What a bank holds. Raises CaptureError for what connect() cannot balance; it names the service."""
    found: dict[bytes, bytes] = {}
    ids: dict[int, DirectService] = {}
    for service in services:
        what = f"service {service.id} ({service.ip}:{service.port})"
        asked = _hop(what, service)
        if asked in found:
            raise CaptureError(f"{what}: another service has that address and port")
        if service.id == direct_layout.INBOUND_SERVICE:
            raise CaptureError(f"{what}: this id is taken")
        if ids.setdefault(service.id, service) is not service:
            raise CaptureError(f"{what}: another service has that id")
        found[asked] = _packed(service, what, asked)
    return found


def _hop(what: str, one: DirectService | DirectEndpoint) -> bytes:
    try:
        if one.port > 0:
            return direct_layout.hop(one.ip, one.port)
    except (OSError, struct.error):
        pass
    raise CaptureError(f"{what}: {one.ip}:{one.port} is not an address and a port")


def _packed(service: DirectService, what: str, asked: bytes) -> bytes:
    endpoints = service.endpoints
    most = direct_layout.ENDPOINTS
    if len(endpoints) > most:
        raise CaptureError(f"{what}: {len(endpoints)} endpoints; the direct lane takes at most {most}")
    hops = [_hop(what, one) for one in endpoints]
    v4 = direct_layout.hop_is_v4(asked)
    for one, hop in zip(endpoints, hops, strict=True):
        if direct_layout.hop_is_v4(hop) is not v4:
            raise CaptureError(f"{what}: endpoint {one.ip} is of the other address family")
        if one.weight < 1:
            raise CaptureError(f"{what}: endpoint {one.ip}:{one.port} has weight {one.weight}; at least 1")
    weights = direct_layout.reduced([one.weight for one in endpoints])
    if sum(weights) > direct_layout.TOTAL_WEIGHT:
        raise CaptureError(f"{what}: its weights add up to more than {direct_layout.TOTAL_WEIGHT}")
    interval, credit = _limit(service, what)
    flags = (
        (service.denied and ServiceFlag.DENIED)
        | (service.balance == "round-robin" and ServiceFlag.ROUND_ROBIN)
        | (interval > 0 and ServiceFlag.LIMITED)
        | (service.affinity_s > 0 and ServiceFlag.AFFINE)
    )
    affinity = min(service.affinity_s, _MOST) * _NANOSECONDS
    try:
        return direct_layout.pack_service(
            direct_layout.Service(service.id, flags, interval, credit, affinity, hops, weights)
        )
    except struct.error as error:
        raise CaptureError(f"{what}: its id is not a number of 32 bits") from error


def _limit(service: DirectService, what: str) -> tuple[int, int]:
    """(interval, credit) in nanoseconds; interval 0: there is none."""
    if service.rate_per_s == 0:
        return 0, direct_layout.NO_LIMIT
    if not 1e-6 <= service.rate_per_s <= 1e9:
        raise CaptureError(
            f"{what}: a rate of {service.rate_per_s} a second; from 0.000001 to 1000000000, or 0 for any"
        )
    if service.burst < 1:
        raise CaptureError(f"{what}: a burst of {service.burst}; at least 1")
    interval = round(_NANOSECONDS / service.rate_per_s)
    return interval, min(interval * (service.burst - 1), _MOST * _NANOSECONDS)
