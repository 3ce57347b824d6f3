"""What the direct lane makes of a connection that is captured, in words."""

from collections.abc import Mapping

from bpf import direct_layout, layout
from bpf.direct_layout import ServiceFlag
from cext.libbpf import libbpf
from intercept.backends.ebpf.direct.banks import content
from intercept.backends.ebpf.direct.services import in_force
from intercept.errors import CaptureError


def told(*, inbound: bool, ip: str, port: int, name: str = "tidegate") -> str | None:
    """None: the direct lane has nothing to do with it, or can't be asked here."""
    try:
        with in_force(name) as maps:
            return _of_port(maps, port) if inbound else _of_service(maps, ip, port)
    except CaptureError:
        return None


def _of_port(maps: Mapping[str, int], port: int) -> str | None:
    words = libbpf.map_lookup(maps["tg_straight_ports"], layout.ZERO, 8 * layout.PORT_WORDS)
    if words is None or port not in layout.ports_in(words):
        return None
    return "the direct lane has this port: straight to the workload's socket, past the proxy"


def _of_service(maps: Mapping[str, int], ip: str, port: int) -> str | None:
    compacted = content(maps["tg_services"]).get(direct_layout.host_port(ip, port))
    if compacted is None:
        return None
    packed = direct_layout.expanded(compacted)
    count = len(set(direct_layout.members(packed)))
    if direct_layout.service_flags(packed) & ServiceFlag.DENIED:
        return "a Service of the direct lane that is denied to this workload: refused in connect()"
    if count == 0:
        return "a Service of the direct lane without an endpoint: refused in connect()"
    whose = "its endpoint" if count == 1 else f"one of its {count} endpoints"
    return f"a Service of the direct lane: connect() goes to {whose}, past the proxy"
