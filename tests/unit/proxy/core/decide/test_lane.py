"""The ladder of lanes: the cheapest that honours what is asked, and the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.decide.lane import choose_lane
from proxy.core.lanes import Lane, LaneChoice
from proxy.core.policy.policy import Balancing, Destination, Protocol, Rule, Target, Timeouts
from proxy.core.policy.settings import Abort, Fault, HttpSettings, Shedding, TcpFault
from tests.unit.proxy.core.build import cluster, destination

L4, L7 = destination(), replace(destination(), protocol=Protocol.HTTP, protocol_reason="appProtocol http")
EVERY = frozenset(Lane)


@pytest.mark.parametrize(
    ("one", "forced", "available", "lane", "parts"),
    [
        (L4, LaneChoice.AUTO, EVERY, Lane.DIRECT, ["L4 policy only"]),
        (L4, LaneChoice.AUTO, frozenset({Lane.SPLICE}), Lane.SPLICE, ["L4 policy only", "eBPF"]),
        (L7, LaneChoice.AUTO, EVERY, Lane.PARSED, ["appProtocol http"]),
        (L7, LaneChoice.AUTO, frozenset({Lane.SPLICE}), Lane.SPLICE, ["protocol http", "not parsed"]),
        (replace(L7, rules=(Rule(L7.targets, "TCPRoute shop/x"),)), LaneChoice.AUTO, EVERY, Lane.DIRECT,
         ["TCPRoute shop/x"]),
        (replace(L4, l7_routes=("HTTPRoute shop/h",)), LaneChoice.AUTO, EVERY, Lane.PARSED, ["HTTPRoute shop/h"]),
        (replace(L4, http=HttpSettings(shedding=Shedding(10.0))), LaneChoice.AUTO, EVERY, Lane.PARSED,
         ["a TrafficPolicy asks something of requests"]),
        (replace(L4, http=HttpSettings(fault=Fault(abort=Abort(1.0, 500), tcp=TcpFault(1.0)))), LaneChoice.AUTO, EVERY,
         Lane.PARSED, ["a TrafficPolicy asks something of requests"]),
        (replace(L4, http=HttpSettings()), LaneChoice.AUTO, EVERY, Lane.DIRECT, ["L4 policy only"]),
        (replace(L4, http=HttpSettings(fault=Fault(tcp=TcpFault(1.0)))), LaneChoice.AUTO, frozenset({Lane.SPLICE}),
         Lane.SPLICE, ["L4 policy only"]),
        (L4, LaneChoice.SPLICE, EVERY, Lane.SPLICE, ["forced by --lane"]),
        (L7, LaneChoice.DIRECT, EVERY, Lane.PARSED, ["--lane asks for direct", "sees no protocol"]),
        (replace(L4, lane=LaneChoice.PARSED, lane_policy="shop/p"), LaneChoice.SPLICE, EVERY, Lane.PARSED, ["shop/p"]),
        (replace(L4, lane=LaneChoice.DIRECT, lane_policy="shop/p"), LaneChoice.AUTO, frozenset({Lane.SPLICE}),
         Lane.SPLICE, ["TrafficPolicy shop/p asks for direct", "eBPF"]),
        (destination(Target(1, cluster(balancing=Balancing.LEAST_REQUEST))), LaneChoice.AUTO, EVERY, Lane.SPLICE,
         ["LEAST_REQUEST"]),
        (destination(Target(1, None, "gone")), LaneChoice.AUTO, EVERY, Lane.SPLICE, ["resolved"]),
        (destination(Target(1, cluster()), Target(1, replace(cluster(name="b"), affinity_s=5.0))), LaneChoice.AUTO,
         EVERY, Lane.SPLICE, ["remembered by the proxy"]),
        (destination(Target(1, replace(cluster(), max_connections=1))), LaneChoice.AUTO, EVERY, Lane.SPLICE,
         ["maxConnections"]),
        (destination(Target(1, replace(cluster(), timeouts=Timeouts(idle_s=1)))), LaneChoice.AUTO, EVERY, Lane.SPLICE,
         ["idle"]),
    ],
)  # fmt: skip
def test_the_ladder(
    one: Destination, forced: LaneChoice, available: frozenset[Lane], lane: Lane, parts: list[str]
) -> None:
    found, reason = choose_lane(one, forced, available)
    assert found is lane
    assert all(part in reason for part in parts), reason
