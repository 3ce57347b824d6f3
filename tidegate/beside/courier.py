"""Between the proxy, which decides what stands in the kernel's direct lane and may not write there, and the kernel.

The proxy tells of services as events on its control channel (proxy/lanes/direct/lane.py); what the kernel has counted
goes back as requests. Used by the companion of a proxy, and by `run`'s supervisor.
"""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from intercept.backends.kernel_lane import (
    InboundCounters,
    KernelConnection,
    KernelCounters,
    KernelEndpoint,
    KernelLane,
    KernelService,
)
from intercept.errors import CaptureError

if TYPE_CHECKING:
    from bpf.direct_layout import End

ROWS = 128
"""In a request: the proxy takes lines of 64 KiB."""
ALL_ENDED = 8192
"""As many as the kernel keeps (bpf/include/direct/maps.h)."""
SOME_ENDED = 512
"""Of each second, for a log: telling of a connection costs more than having it, so telling of all would be what limits
the lane. The counters have them all."""
LIVE_AT_ONCE = 1024
COUNTED = "direct-counted"
_DISCARD = 9
_ENDINGS = ("finished", "reset", "upstream-failed")


class Courier:
    """Carries services down and counts up. say: for what goes wrong, a line each. ended_at_once: how many connections
    that have ended are told one by one at each call of `requests`."""

    def __init__(self, lane: KernelLane, say: Callable[[str], None], ended_at_once: int) -> None:
        self._lane = lane
        self._ended_at_once = ended_at_once
        self._say = say
        self._troubled = False
        self._used = False
        self._next_look = 0.0

    def deliver(self, event: Mapping[str, Any]) -> None:
        """Take the proxy's event to the kernel. What can't be put there stays as it is, and is said."""
        self._used = self._used or bool(event["services"] or event["straight"])
        try:
            self._lane.push([_service(told) for told in event["services"]])
            self._lane.push_inbound(set(event["straight"]))
            self._troubled = False
        except CaptureError as error:
            if not self._troubled:
                self._say(f"the direct lane was not changed: {error}")
            self._troubled = True

    def requests(self) -> Iterator[dict[str, Any]]:
        """What is to be told to the proxy now."""
        if not self._used:
            return
        try:
            counters = [_counters(one) for one in self._lane.telemetry()]
            counters += [_inbound(one) for one in self._lane.telemetry_inbound()]
            ended = [_ended(one) for one in self._lane.ended(self._ended_at_once)]
            live = self._look_at_live()
        except CaptureError:
            return  # the capture has gone: whoever looks after it says so
        for first in range(0, len(counters), ROWS):
            yield {"op": COUNTED, "counters": counters[first : first + ROWS]}
        for first in range(0, len(ended), ROWS):
            yield {"op": COUNTED, "ended": ended[first : first + ROWS]}
        if live is not None:
            yield {"op": COUNTED, "begin": True, "live": live[:ROWS]}
            for first in range(ROWS, len(live), ROWS):
                yield {"op": COUNTED, "live": live[first : first + ROWS]}

    def _look_at_live(self) -> list[dict[str, Any]] | None:
        """None: not yet again. Every socket of the namespace is looked at, so looks take a fiftieth of the time."""
        began = time.monotonic()
        if began < self._next_look:
            return None
        live = [_live(one) for one in self._lane.live()[:LIVE_AT_ONCE]]
        now = time.monotonic()
        self._next_look = now + 50 * (now - began)
        return live


def _service(told: Mapping[str, Any]) -> KernelService:
    endpoints = tuple(KernelEndpoint(ip, port, weight) for ip, port, weight in told["endpoints"])
    return KernelService(
        id=told["id"],
        ip=told["ip"],
        port=told["port"],
        balance="round-robin" if told["round_robin"] else "random",
        endpoints=endpoints,
        affinity_s=round(told["affinity_s"]),
        denied=_is_denied(endpoints[0].ip if endpoints else told["ip"], told["denied"]),
        rate_per_s=told["rate_per_s"],
        burst=told["burst"],
    )


def _is_denied(destination: str, networks: list[str]) -> bool:
    """Whether the workload is among those denied, by the address that routing gives a socket that goes there: before it
    is connected it has none."""
    if not networks:
        return False
    with socket.socket(socket.AF_INET6 if ":" in destination else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((destination, _DISCARD))  # sends nothing
        except OSError:
            return False  # nobody can go there
        source = ip_address(probe.getsockname()[0])
    return any(source in ip_network(text) for text in networks)


def _counters(one: KernelCounters) -> dict[str, Any]:
    own = {"service": one.service, "endpoint": [one.ip, one.port]}
    return own | {"failed": one.failed, "denied": one.denied, "limited": one.limited} | _moved(one) | _ends(one)


def _inbound(one: InboundCounters) -> dict[str, Any]:
    return {"service": 0, "endpoint": ["", one.port]} | _moved(one) | _ends(one)


def _moved(one: KernelCounters | InboundCounters | KernelConnection) -> dict[str, Any]:
    return {
        "bytes_sent": one.bytes_sent,
        "bytes_received": one.bytes_received,
        "retransmits": one.retransmits,
        "srtt_us": one.srtt_us,
    }


def _ends(one: KernelCounters | InboundCounters) -> dict[str, Any]:
    return {"opened": one.opened, "closed": one.closed}


def _ended(one: "End") -> dict[str, Any]:
    return {
        "service": 0 if one.inbound else one.service,
        "endpoint": list(one.endpoint),
        "client": list(one.client),
        "started_at": time.time() - (time.monotonic_ns() - one.begun_ns) / 1e9,
        "age_s": (one.ended_ns - one.begun_ns) / 1e9,
        "bytes_sent": one.sent,
        "bytes_received": one.received,
        "retransmits": one.retransmits,
        "srtt_us": one.srtt_us,
        "close_reason": _ENDINGS[one.ending],
    }


def _live(one: KernelConnection) -> dict[str, Any]:
    return {
        "service": one.service,
        "endpoint": list(one.endpoint),
        "client": list(one.client),
        "started_at": time.time() - one.age_s,
        "age_s": one.age_s,
        "established": one.established,
    } | _moved(one)
