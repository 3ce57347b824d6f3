"""The direct lane under ebpf capture: which services connect() balances by itself, and what came of it.

Works on the capture that is in force in this network namespace, proxy or no proxy. A push replaces the whole content in
one write; a capture that is replaced keeps it. Needs what ebpf mode needs.
"""

import errno
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from bpf import bpffs, direct_layout, layout
from bpf.direct_layout import Counts, End
from cext.libbpf import libbpf
from cext.libbpf.libbpf import BpfError, MapType
from intercept.backends.ebpf import pins
from intercept.backends.ebpf.direct.values import packed
from intercept.backends.ebpf.errors import translated
from intercept.backends.ebpf.instance import Instance
from intercept.backends.kernel_lane import KernelCounters, KernelService
from intercept.errors import CaptureError

_LOCK_WAIT_S = 5.0
_MAPS = ("tg_services", "tg_service_states", "tg_members", "tg_direct_ends", "tg_straight_ports")


def push(services: Sequence[KernelService], *, name: str = "tidegate") -> None:
    """Makes exactly these the services of the direct lane; a connect() sees either all of it or nothing.

    Connections that exist go on as they are. Raises CaptureError, and then nothing has changed: no ebpf capture of that
    name is in force here, or a service is not one that connect() can balance (the message names it).
    """
    with in_force(name) as maps:
        push_into(maps, services)


def telemetry(*, name: str = "tidegate") -> list[KernelCounters]:
    """Totals since each service and endpoint was first pushed; they never decrease. What is in no service any more is
    told until its last connection has ended, once more after that, and then forgotten. Raises CaptureError."""
    with in_force(name) as maps:
        return telemetry_of(maps)


def ended(limit: int, *, name: str = "tidegate") -> list[End]:
    """At most `limit` connections that have ended, each told once. Raises CaptureError."""
    with in_force(name) as maps:
        return ended_of(maps, limit)


# ---- the same with the maps of a capture that is held, not pinned


def push_into(maps: Mapping[str, int], services: Sequence[KernelService]) -> None:
    """The caller sees to it that nobody else does the same."""
    bank = packed(services)
    before = set(_bank(maps))
    # What they are counted in is there before they can be chosen.
    new = set(bank.values()) - before
    gone = before - set(bank.values())
    members, states = _members(new) - _members(gone), _states(new) - _states(gone)
    make(maps["tg_members"], members, ZEROS)
    make(maps["tg_service_states"], states, _NO_STATE)
    _replace_bank(maps["tg_services"], bank)


def telemetry_of(maps: Mapping[str, int]) -> list[KernelCounters]:
    bank = _bank(maps)
    found = list(_of_services(maps["tg_service_states"], _states(bank)))
    for key, counts in of_members(maps["tg_members"], _members(bank), inbound=False):
        found.append(
            KernelCounters(
                *direct_layout.member(key),
                opened=counts.opened,
                closed=counts.closed,
                failed=counts.failed,
                bytes_sent=counts.sent,
                bytes_received=counts.received,
                retransmits=counts.retransmits,
                srtt_us=counts.srtt_us,
            )
        )
    return found


def ended_of(maps: Mapping[str, int], limit: int) -> list[End]:
    return [direct_layout.end(value) for value in libbpf.map_pop(maps["tg_direct_ends"], direct_layout.END_SIZE, limit)]


# ---- what is written

ZEROS = bytes(direct_layout.COUNTS_SIZE)
_NO_STATE = bytes(direct_layout.STATE_SIZE)


def make(fd: int, keys: set[bytes], value: bytes) -> None:
    """Entries that are there already, of an endpoint that comes back, keep what they have counted."""
    for key in keys:
        try:
            libbpf.map_update(fd, key, value, libbpf.NOEXIST)
        except BpfError as error:
            if error.errno == errno.E2BIG:
                raise CaptureError("direct lane: too many services and endpoints; those gone wait to be told") from None
            if error.errno != errno.EEXIST:
                raise


def _members(bank: Iterable[bytes]) -> set[bytes]:
    return {key for value in bank for key in direct_layout.members(value)}


def _states(bank: Iterable[bytes]) -> set[bytes]:
    return set(map(direct_layout.service_id, bank))


def _replace_bank(outer: int, services: dict[bytes, bytes]) -> None:
    fd = libbpf.map_create(
        MapType.HASH,
        "tg_service_bank",
        sizes=(direct_layout.HOST_PORT_SIZE, direct_layout.SERVICE_SIZE),
        max_entries=max(1, len(services)),
    )
    try:
        libbpf.map_update_many(fd, list(services.items()))
        libbpf.map_update(outer, layout.ZERO, struct.pack("=I", fd))
    finally:
        os.close(fd)


# ---- what is read


@contextmanager
def in_force(name: str) -> Iterator[dict[str, int]]:
    """The capture's maps, and nobody else changes it meanwhile."""
    with translated(), ExitStack() as held:
        folder = pins.existing_folder()
        if folder is not None:
            held.enter_context(bpffs.locked(folder, _LOCK_WAIT_S))
        if folder is None or not (folder / name).is_dir():
            raise CaptureError("direct lane: ebpf capture is not in force in this network namespace")
        instance: Instance = held.enter_context(pins.opened(folder / name))
        if not instance.bank():
            raise CaptureError("direct lane: ebpf capture is not in force in this network namespace")
        if any(each not in instance.maps for each in _MAPS):
            raise CaptureError("direct lane: this capture is of a version without it: run init again")
        yield instance.maps


def _bank(maps: Mapping[str, int]) -> list[bytes]:
    """The services of the last push, packed."""
    number = libbpf.map_lookup(maps["tg_services"], layout.ZERO, 4)
    if number is None:
        return []
    bank = libbpf.map_fd_by_id(struct.unpack("=I", number)[0])
    try:
        found = (
            libbpf.map_lookup(bank, key, direct_layout.SERVICE_SIZE)
            for key in libbpf.map_keys(bank, direct_layout.HOST_PORT_SIZE)
        )
        return [value for value in found if value is not None]
    finally:
        os.close(bank)


def _of_services(fd: int, current: set[bytes]) -> Iterator[KernelCounters]:
    for key in libbpf.map_keys(fd, 4):
        value = libbpf.map_lookup(fd, key, direct_layout.STATE_SIZE)
        if value is None:
            continue
        told = direct_layout.state(value)
        (number,) = struct.unpack("=I", key)
        yield KernelCounters(number, "", 0, failed=told.unserved, denied=told.denied, limited=told.limited)
        if key not in current:
            libbpf.map_delete(fd, key)


def of_members(fd: int, current: set[bytes], *, inbound: bool) -> Iterator[tuple[bytes, Counts]]:
    """Of one direction; each that is not current and has no connection any more for the last time."""
    for key in libbpf.map_keys(fd, direct_layout.MEMBER_SIZE):
        if direct_layout.is_inbound(key) is not inbound:
            continue
        value = libbpf.map_lookup(fd, key, direct_layout.COUNTS_SIZE)
        if value is None:
            continue
        counts = direct_layout.counts(value)
        yield key, counts
        if key not in current and counts.begun == counts.closed + counts.failed:
            libbpf.map_delete(fd, key)
