"""The direct lane under ebpf capture: which services connect() balances by itself, and what came of it.

Works on the capture that is in force in this network namespace, proxy or no proxy. A push replaces the whole content in
one write; a capture that is replaced keeps it. Needs what ebpf mode needs.
"""

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal, NamedTuple

from bpf import bpffs, direct_layout, layout
from bpf.direct_layout import ServiceFlag
from cext import libbpf
from cext.libbpf import BpfError, MapType
from intercept.backends import ebpf
from intercept.backends.ebpf_errors import translated
from intercept.backends.ebpf_instance import Instance
from intercept.errors import CaptureError

Balance = Literal["random", "round-robin"]

_NANOSECONDS = 1_000_000_000
_LOCK_WAIT_S = 5.0
_MAPS = ("tg_services", "tg_service_states", "tg_members")


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


def push(services: Sequence[DirectService], *, name: str = "tidegate") -> None:
    """Makes exactly these the services of the direct lane; a connect() sees either all of it or nothing.

    Connections that exist go on as they are. Raises CaptureError, and then nothing has changed: no ebpf capture of that
    name is in force here, or a service is not one that connect() can balance (the message names it).
    """
    hops = [_checked_hop(service) for service in services]
    packed = [(hop, _packed(service, hop)) for hop, service in zip(hops, services, strict=True)]
    _refuse_twice(services, packed)
    with _in_force(name) as maps:
        before = _bank(maps)
        known = {key for value in before for key in direct_layout.members(value)}
        # What they are counted in is there before they can be chosen.
        _make(maps["tg_members"], {key for _, value in packed for key in direct_layout.members(value)} - known, _ZEROS)
        states = {direct_layout.service_id(value) for _, value in packed}
        _make(maps["tg_service_states"], states - set(map(direct_layout.service_id, before)), _NO_STATE)
        _replace_bank(maps["tg_services"], packed)


def telemetry(*, name: str = "tidegate") -> list[DirectCounters]:
    """Totals since each service and endpoint was first pushed; they never decrease. What is in no service any more is
    told until its last connection has ended, once more after that, and then forgotten. Raises CaptureError."""
    with _in_force(name) as maps:
        bank = _bank(maps)
        current = {key for value in bank for key in direct_layout.members(value)}
        services = set(map(direct_layout.service_id, bank))
        return [*_of_services(maps["tg_service_states"], services), *_of_members(maps["tg_members"], current)]


# ---- what a push is made of


def _checked_hop(service: DirectService) -> bytes:
    try:
        return direct_layout.hop(service.ip, service.port)
    except (OSError, struct.error) as error:
        raise CaptureError(f"service {service.id}: {service.ip}:{service.port} is not an address and port") from error


def _packed(service: DirectService, asked: bytes) -> bytes:
    what = f"service {service.id} ({service.ip}:{service.port})"
    if len(service.endpoints) > direct_layout.ENDPOINTS:
        most = direct_layout.ENDPOINTS
        raise CaptureError(f"{what}: {len(service.endpoints)} endpoints; the direct lane takes at most {most}")
    hops = []
    for one in service.endpoints:
        try:
            hops.append(direct_layout.hop(one.ip, one.port))
        except (OSError, struct.error) as error:
            raise CaptureError(f"{what}: {one.ip}:{one.port} is not an address and port") from error
    for one, key in zip(service.endpoints, hops, strict=True):
        if direct_layout.hop_is_v4(key) is not direct_layout.hop_is_v4(asked):
            raise CaptureError(f"{what}: endpoint {one.ip} is of the other address family")
        if one.weight < 1:
            raise CaptureError(f"{what}: endpoint {one.ip}:{one.port} has weight {one.weight}; at least 1")
    weights = direct_layout.reduced([one.weight for one in service.endpoints])
    if sum(weights) > direct_layout.TOTAL_WEIGHT:
        raise CaptureError(f"{what}: the weights' sum exceeds {direct_layout.TOTAL_WEIGHT}")
    limited = service.rate_per_s > 0
    interval = max(1, round(_NANOSECONDS / service.rate_per_s)) if limited else 0
    flags = (
        (service.denied and ServiceFlag.DENIED)
        | (service.balance == "round-robin" and ServiceFlag.ROUND_ROBIN)
        | (limited and ServiceFlag.LIMITED)
        | (service.affinity_s > 0 and ServiceFlag.AFFINE)
    )
    return direct_layout.pack_service(
        direct_layout.Service(
            id=service.id,
            flags=flags,
            interval_ns=interval,
            credit_ns=interval * max(0, service.burst - 1) if limited else direct_layout.NO_LIMIT,
            affinity_ns=service.affinity_s * _NANOSECONDS,
            hops=hops,
            weights=weights,
        )
    )


def _refuse_twice(services: Sequence[DirectService], packed: Sequence[tuple[bytes, bytes]]) -> None:
    ids: set[int] = set()
    hops: dict[bytes, int] = {}
    for service, (hop, _) in zip(services, packed, strict=True):
        if service.id in ids:
            raise CaptureError(f"service id {service.id} is given twice")
        if hop in hops:
            raise CaptureError(f"services {hops[hop]} and {service.id} are both {service.ip}:{service.port}")
        ids.add(service.id)
        hops[hop] = service.id


_ZEROS = bytes(direct_layout.COUNTS_SIZE)
_NO_STATE = bytes(direct_layout.STATE_SIZE)


def _make(fd: int, keys: set[bytes], value: bytes) -> None:
    """Entries that are there already, of an endpoint that comes back, keep what they have counted."""
    for key in keys:
        try:
            libbpf.map_update(fd, key, value, libbpf.NOEXIST)
        except BpfError as error:
            if error.errno == errno.E2BIG:
                raise CaptureError("direct lane: too many services and endpoints; those gone wait to be told") from None
            if error.errno != errno.EEXIST:
                raise


def _replace_bank(outer: int, packed: Sequence[tuple[bytes, bytes]]) -> None:
    bank = libbpf.map_create(
        MapType.HASH,
        "tg_service_bank",
        sizes=(direct_layout.HOP_SIZE, direct_layout.SERVICE_SIZE),
        max_entries=max(1, len(packed)),
    )
    try:
        libbpf.map_update_many(bank, list(packed))
        libbpf.map_update(outer, layout.ZERO, struct.pack("=I", bank))
    finally:
        os.close(bank)


# ---- what is read


@contextmanager
def _in_force(name: str) -> Iterator[dict[str, int]]:
    """The capture's maps, and nobody else changes it meanwhile."""
    with translated(), ExitStack() as held:
        folder = ebpf.existing_folder()
        if folder is not None:
            held.enter_context(bpffs.locked(folder, _LOCK_WAIT_S))
        if folder is None or not (folder / name).is_dir():
            raise CaptureError("direct lane: ebpf capture is not in force in this network namespace")
        instance: Instance = held.enter_context(ebpf.opened(folder / name))
        if not instance.bank():
            raise CaptureError("direct lane: ebpf capture is not in force in this network namespace")
        if any(each not in instance.maps for each in _MAPS):
            raise CaptureError("direct lane: this capture is of a version without it: run init again")
        yield instance.maps


def _bank(maps: dict[str, int]) -> list[bytes]:
    """The services of the last push, packed."""
    number = libbpf.map_lookup(maps["tg_services"], layout.ZERO, 4)
    if number is None:
        return []
    bank = libbpf.map_fd_by_id(struct.unpack("=I", number)[0])
    try:
        found = (
            libbpf.map_lookup(bank, key, direct_layout.SERVICE_SIZE)
            for key in libbpf.map_keys(bank, direct_layout.HOP_SIZE)
        )
        return [value for value in found if value is not None]
    finally:
        os.close(bank)


def _of_services(fd: int, current: set[bytes]) -> Iterator[DirectCounters]:
    for key in libbpf.map_keys(fd, 4):
        value = libbpf.map_lookup(fd, key, direct_layout.STATE_SIZE)
        if value is None:
            continue
        told = direct_layout.state(value)
        (number,) = struct.unpack("=I", key)
        yield DirectCounters(number, "", 0, failed=told.unserved, denied=told.denied, limited=told.limited)
        if key not in current:
            libbpf.map_delete(fd, key)


def _of_members(fd: int, current: set[bytes]) -> Iterator[DirectCounters]:
    for key in libbpf.map_keys(fd, direct_layout.MEMBER_SIZE):
        value = libbpf.map_lookup(fd, key, direct_layout.COUNTS_SIZE)
        if value is None:
            continue
        counts = direct_layout.counts(value)
        yield DirectCounters(
            *direct_layout.member(key),
            opened=counts.opened,
            closed=counts.closed,
            failed=counts.failed,
            bytes_sent=counts.sent,
            bytes_received=counts.received,
            retransmits=counts.retransmits,
            srtt_us=counts.srtt_us,
        )
        if key not in current and counts.begun == counts.closed + counts.failed:
            libbpf.map_delete(fd, key)
