"""The direct lane under ebpf capture: which services connect() balances by itself, and what came of it.

Works on the capture that is in force in this network namespace, proxy or no proxy. A push changes what
differs; a capture that is replaced keeps it. Needs what ebpf mode needs.
"""

import errno
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from bpf import bpffs, direct_layout
from bpf.direct_layout import End
from cext.libbpf import libbpf
from cext.libbpf.libbpf import BpfError
from intercept.backends.ebpf import pins
from intercept.backends.ebpf.direct.banks import Content, content, members
from intercept.backends.ebpf.direct.counters import SeenBoth, has_no_connection, is_over
from intercept.backends.ebpf.direct.values import packed
from intercept.backends.ebpf.errors import translated
from intercept.backends.ebpf.instance import Instance
from intercept.backends.kernel_lane import KernelCounters, KernelService
from intercept.errors import CaptureError

_LOCK_WAIT_S = 5.0
_MAPS = ("tg_services", "tg_service_states", "tg_members", "tg_direct_ends", "tg_straight_ports")
Address = tuple[str, int]


def push(services: Sequence[KernelService], *, name: str = "tidegate") -> None:
    """Makes exactly these the services of the direct lane; a connect() sees each service whole, before or after.

    Connections that exist go on as they are. Raises CaptureError, and then nothing has changed: no ebpf capture of that
    name is in force here, or a service is not one that connect() can balance (the message names it).
    """
    with in_force(name) as maps:
        push_into(maps, services)


def exchange(services: Sequence[KernelService], gone: Collection[Address], *, name: str = "tidegate") -> None:
    """As `push`, but of these services alone: they come or replace the one of that address and port; those at the
    `gone` addresses go. Takes as long as what differs."""
    with in_force(name) as maps:
        exchange_into(maps, services, gone)


def telemetry(seen: SeenBoth | None = None, *, name: str = "tidegate") -> list[KernelCounters]:
    """Totals since each service and endpoint was first pushed; they never decrease. What is in no service any more is
    told until its last connection has ended, once more after that, and then forgotten. seen: kept by the caller from
    call to call, to be told only what has changed. Raises CaptureError."""
    with in_force(name) as maps:
        return telemetry_of(maps, seen)


def ended(limit: int, *, name: str = "tidegate") -> list[End]:
    """At most `limit` connections that have ended, each told once. Raises CaptureError."""
    with in_force(name) as maps:
        return ended_of(maps, limit)


# ---- the same with the maps of a capture that is held, not pinned


def push_into(maps: Mapping[str, int], services: Sequence[KernelService]) -> None:
    """The caller sees to it that nobody else does the same."""
    there, wanted = content(maps["tg_services"]), packed(services)
    _exchange(maps, there, wanted, [key for key in there if key not in wanted])


def exchange_into(maps: Mapping[str, int], services: Sequence[KernelService], gone: Collection[Address]) -> None:
    """The caller sees to it that nobody else does the same."""
    _exchange(maps, content(maps["tg_services"]), packed(services), [direct_layout.host_port(*one) for one in gone])


def _exchange(maps: Mapping[str, int], there: Content, put: Mapping[bytes, bytes], gone: Collection[bytes]) -> None:
    new = {key: value for key, one in put.items() if there.get(key) != (value := direct_layout.compact(one))}
    # What they are counted in is there before they can be chosen.
    make(maps["tg_members"], {key for value in new.values() for key in members(value)} - there.members, ZEROS)
    make(maps["tg_service_states"], set(map(direct_layout.service_id, new.values())) - there.states, _NO_STATE)
    there.exchange(maps["tg_services"], new, gone)


def telemetry_of(maps: Mapping[str, int], seen: SeenBoth | None = None) -> list[KernelCounters]:
    there = content(maps["tg_services"])
    seen = SeenBoth.new(zeros=True) if seen is None else seen
    found = []
    for key, value in seen.states.differing(maps["tg_service_states"], there.states, is_over):
        told = direct_layout.state(value)
        (number,) = struct.unpack("=I", key)
        found.append(KernelCounters(number, "", 0, failed=told.unserved, denied=told.denied, limited=told.limited))
    for key, value in seen.members.differing(maps["tg_members"], there.members, has_no_connection):
        counts = direct_layout.counts(value)
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
