"""The kernel's half of the direct lane, whoever holds the capture."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from intercept.backends.ebpf_direct import DirectCounters, DirectService, End


class KernelLane(NamedTuple):
    """push: makes exactly these services the kernel's, in one instant. telemetry: totals, which never go back while the
    capture lives. ended: at most so many connections that have ended, each told once. All raise CaptureError."""

    push: "Callable[[Sequence[DirectService]], None]"
    telemetry: "Callable[[], list[DirectCounters]]"
    ended: "Callable[[int], list[End]]"


def pinned() -> KernelLane:
    """Of the capture that `init` has put in force in this network namespace; it is looked for at each call."""
    from intercept.backends import ebpf_direct

    return KernelLane(ebpf_direct.push, ebpf_direct.telemetry, ebpf_direct.ended)


def held(maps: Mapping[str, int]) -> KernelLane:
    """Of a capture whose maps are descriptors of this process."""
    from intercept.backends import ebpf_direct
    from intercept.backends.ebpf_errors import translated

    def push(services: "Sequence[DirectService]") -> None:
        with translated():
            ebpf_direct.push_into(maps, services)

    def telemetry() -> "list[DirectCounters]":
        with translated():
            return ebpf_direct.telemetry_of(maps)

    def ended(limit: int) -> "list[End]":
        with translated():
            return ebpf_direct.ended_of(maps, limit)

    return KernelLane(push, telemetry, ended)
