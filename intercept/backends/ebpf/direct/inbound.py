"""The direct lane inbound: captured ports whose connections go straight to the workload's socket, and are counted."""

from collections.abc import Mapping, Set

from bpf import direct_layout, layout
from cext.libbpf import libbpf
from intercept.backends.ebpf.direct.counters import Seen, has_no_connection, members
from intercept.backends.ebpf.direct.services import ZEROS, in_force, make
from intercept.backends.kernel_lane import InboundCounters
from intercept.errors import CaptureError

_PORTS_SIZE = 8 * layout.PORT_WORDS


def push_inbound(ports: Set[int], *, name: str = "tidegate") -> None:
    """Makes exactly these the captured ports that no proxy is needed for.

    Connections that exist go on as they are. What the capture excludes stays excluded. Raises CaptureError.
    """
    with in_force(name) as maps:
        push_inbound_into(maps, ports)


def telemetry_inbound(seen: Seen | None = None, *, name: str = "tidegate") -> list[InboundCounters]:
    """Totals of each port since it was first pushed. One that was taken back is told until its last connection has
    ended, once more after that, and then forgotten. Before Linux 5.15 nothing is counted. seen: kept by the caller from
    call to call, to be told only what has changed. Raises CaptureError."""
    with in_force(name) as maps:
        return telemetry_inbound_of(maps, seen)


# ---- the same with the maps of a capture that is held, not pinned


def push_inbound_into(maps: Mapping[str, int], ports: Set[int]) -> None:
    for port in ports:
        if not 0 < port < 1 << 16:
            raise CaptureError(f"direct lane: {port} is not a port")
    make(maps["tg_members"], set(map(direct_layout.inbound_member, ports)), ZEROS)
    libbpf.map_update(maps["tg_straight_ports"], layout.ZERO, layout.port_words(sum(1 << port for port in ports)))


def telemetry_inbound_of(maps: Mapping[str, int], seen: Seen | None = None) -> list[InboundCounters]:
    seen = members(inbound=True, zeros=True) if seen is None else seen
    words = libbpf.map_lookup(maps["tg_straight_ports"], layout.ZERO, _PORTS_SIZE) or bytes(_PORTS_SIZE)
    current = {direct_layout.inbound_member(port) for port in layout.ports_in(words)}
    return [
        InboundCounters(
            port=direct_layout.member(key)[2],
            opened=counts.opened,
            closed=counts.closed,
            bytes_sent=counts.sent,
            bytes_received=counts.received,
            retransmits=counts.retransmits,
            srtt_us=counts.srtt_us,
        )
        for key, counts in (
            (key, direct_layout.counts(value))
            for key, value in seen.differing(maps["tg_members"], current, has_no_connection)
        )
    ]
