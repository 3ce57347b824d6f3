"""The kernel's half of the direct lane, whoever holds the capture."""

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from intercept.backends.ebpf.direct.live import DirectConnection
    from intercept.backends.ebpf.direct.services import DirectCounters, DirectService, End
    from intercept.backends.ebpf.direct.values import InboundCounters


class KernelLane(NamedTuple):
    """push: makes exactly these services the kernel's, in one instant. push_inbound: exactly these ports go straight to
    the workload. telemetry, telemetry_inbound: totals, which never go back while the capture lives. ended: at most so
    many connections that have ended, each told once. live: those that are open. All raise CaptureError."""

    push: "Callable[[Sequence[DirectService]], None]"
    telemetry: "Callable[[], list[DirectCounters]]"
    ended: "Callable[[int], list[End]]"
    push_inbound: "Callable[[Set[int]], None]"
    telemetry_inbound: "Callable[[], list[InboundCounters]]"
    live: "Callable[[], list[DirectConnection]]"


def pinned() -> KernelLane:
    """Of the capture that `init` has put in force in this network namespace; it is looked for at each call."""
    from intercept.backends.ebpf.direct import inbound as ebpf_direct_inbound
    from intercept.backends.ebpf.direct import live as ebpf_direct_live
    from intercept.backends.ebpf.direct import services as ebpf_direct

    return KernelLane(
        ebpf_direct.push,
        ebpf_direct.telemetry,
        ebpf_direct.ended,
        ebpf_direct_inbound.push_inbound,
        ebpf_direct_inbound.telemetry_inbound,
        ebpf_direct_live.connections,
    )


def held(maps: Mapping[str, int]) -> KernelLane:
    """Of a capture whose maps are descriptors of this process."""
    from intercept.backends.ebpf.direct import inbound as ebpf_direct_inbound
    from intercept.backends.ebpf.direct import live as ebpf_direct_live
    from intercept.backends.ebpf.direct import services as ebpf_direct
    from intercept.backends.ebpf.errors import translated

    def of(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            with translated():
                return function(maps, *arguments)

        return called

    return KernelLane(
        of(ebpf_direct.push_into),
        of(ebpf_direct.telemetry_of),
        of(ebpf_direct.ended_of),
        of(ebpf_direct_inbound.push_inbound_into),
        of(ebpf_direct_inbound.telemetry_inbound_of),
        of(ebpf_direct_live.connections_of),
    )
