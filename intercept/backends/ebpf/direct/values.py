"""The kernel lane's services as its map holds them. Pure."""

import struct
from collections.abc import Sequence

from bpf import direct_layout
from bpf.direct_layout import ServiceFlag
from intercept.backends.kernel_lane import KernelEndpoint, KernelService
from intercept.errors import CaptureError

_NANOSECONDS = 1_000_000_000
_MOST = 2**63 // _NANOSECONDS


def packed(services: Sequence[KernelService]) -> dict[bytes, bytes]:
    """What a bank holds. Raises CaptureError for what connect() cannot balance; it names the service."""
    found: dict[bytes, bytes] = {}
    ids: dict[int, KernelService] = {}
    for service in services:
        what = f"service {service.id} ({service.ip}:{service.port})"
        asked = _host_port(what, service)
        if asked in found:
            raise CaptureError(f"{what}: another service has that address and port")
        if service.id == direct_layout.INBOUND_SERVICE:
            raise CaptureError(f"{what}: this id is taken")
        if ids.setdefault(service.id, service) is not service:
            raise CaptureError(f"{what}: another service has that id")
        found[asked] = _packed(service, what, asked)
    return found


def _host_port(what: str, one: KernelService | KernelEndpoint) -> bytes:
    try:
        if one.port > 0:
            return direct_layout.host_port(one.ip, one.port)
    except (OSError, struct.error):
        pass
    raise CaptureError(f"{what}: {one.ip}:{one.port} is not an address and a port")


def _packed(service: KernelService, what: str, asked: bytes) -> bytes:
    endpoints = service.endpoints
    most = direct_layout.ENDPOINTS
    if len(endpoints) > most:
        raise CaptureError(f"{what}: {len(endpoints)} endpoints; the direct lane takes at most {most}")
    packed_endpoints = [_host_port(what, one) for one in endpoints]
    v4 = direct_layout.host_port_is_v4(asked)
    for one, key in zip(endpoints, packed_endpoints, strict=True):
        if direct_layout.host_port_is_v4(key) is not v4:
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
            direct_layout.Service(service.id, flags, interval, credit, affinity, packed_endpoints, weights)
        )
    except struct.error as error:
        raise CaptureError(f"{what}: its id is not a number of 32 bits") from error


def _limit(service: KernelService, what: str) -> tuple[int, int]:
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
