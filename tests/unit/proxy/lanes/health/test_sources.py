"""What reaches health keeping, and that nothing reaches it twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.lanes import Lane
from proxy.core.resilience.tally import Tally
from proxy.lanes.health.sources import of_splice

ONE = UpstreamAddress(Address("10.0.0.1", 80))


def group(lane: Lane, opened: int, failed: int) -> tuple[Any, Any]:
    return (
        SimpleNamespace(endpoint=ONE, verdict=SimpleNamespace(lane=lane)),
        SimpleNamespace(opened=opened, connect_failures=failed),
    )


def test_connections_that_carry_requests_are_told_of_by_the_parsed_lane_alone() -> None:
    groups = [group(Lane.SPLICE, 5, 1), group(Lane.PARSED, 100, 50)]
    lane = cast(Any, SimpleNamespace(counters_of=lambda _: groups))
    assert of_splice(lane)("web") == {ONE: Tally(5, 1)}
