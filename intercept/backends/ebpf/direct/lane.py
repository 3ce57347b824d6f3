"""The kernel lane of an ebpf capture, pinned or held."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from intercept.backends.kernel_lane import KernelLane

LOOK_S = 0.005
"""Of each map's counters at a time: the companion takes changes of policy in the same thread, and those are in force
within 50 ms also where there are a hundred thousand endpoints."""


def pinned() -> KernelLane:
    """Of the capture that `init` has put in force in this network namespace; it is looked for at each call."""
    from intercept.backends.ebpf.direct import counters, inbound, live, services

    return KernelLane(
        services.push,
        services.exchange,
        partial(services.telemetry, counters.SeenBoth.new(budget_s=LOOK_S)),
        services.ended,
        inbound.push_inbound,
        partial(inbound.telemetry_inbound, counters.members(inbound=True, budget_s=LOOK_S)),
        live.connections,
    )


def held(maps: Mapping[str, int]) -> KernelLane:
    """Of a capture whose maps are descriptors of this process."""
    from intercept.backends.ebpf.direct import counters, inbound, live, services
    from intercept.backends.ebpf.errors import translated

    def of(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            with translated():
                return function(maps, *arguments)

        return called

    return KernelLane(
        of(services.push_into),
        of(services.exchange_into),
        partial(of(services.telemetry_of), counters.SeenBoth.new()),
        of(services.ended_of),
        of(inbound.push_inbound_into),
        partial(of(inbound.telemetry_inbound_of), counters.members(inbound=True)),
        of(live.connections_of),
    )
