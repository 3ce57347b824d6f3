"""What a policy puts in force for requests: clusters before the sites that name them, and nothing that is not asked."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from cext.engine.engine import Engine
from proxy.core.addresses import UpstreamAddress
from proxy.core.decide.lane import Lanes
from proxy.core.lanes import Direction, Lane, Speaking
from proxy.core.lower.to_engine import Ruling, Site, rulings
from proxy.core.networks import NetworkSet
from proxy.core.policy.cluster import Cluster
from proxy.core.policy.http import HttpRule, HttpTarget
from proxy.core.policy.policy import Destination, Policy, Protocol, RateLimit, Rule, Target
from proxy.core.resilience.health import HEALTHY
from proxy.core.route.match import EVERYTHING
from proxy.lanes.parsed.clusters import HealthEvents
from proxy.lanes.parsed.lane import Asking, RequestLane
from tests.unit.proxy.core.build import VIP, cluster, destination, policy

HERE = Site(Direction.OUTBOUND, VIP.ip, VIP.port)
LANES = Lanes(available=frozenset({Lane.SPLICE, Lane.PARSED}))


def http(one: Destination, *to: Cluster, kind: str = "HTTPRoute") -> Destination:
    rules = tuple(HttpRule(EVERYTHING, (HttpTarget(1, found),), "shop/r", "0", kind) for found in to)
    routes = tuple(rule.route for rule in rules)
    return replace(one, protocol=Protocol.HTTP, http_rules=rules, l7_routes=routes)


class Kept:
    def __init__(self, engine: Engine) -> None:
        groups: dict[tuple[str, UpstreamAddress], int] = {}
        self.lane = RequestLane(
            engine,
            Asking(),
            lambda one, endpoint: groups.setdefault((one.name, endpoint), len(groups) + 1),
            HealthEvents(lambda *_: None, lambda *_: None),
            5.0,
        )

    def put(self, made: Policy, *gone: Site) -> tuple[int, Ruling | None]:
        """The number of the site's rules, and its ruling."""
        found = {} if gone else rulings(made, LANES)
        prepared = self.lane.prepared(made, found)
        for _ in self.lane.exchange(prepared, HEALTHY):
            pass
        number = self.lane.number(HERE)
        for _ in self.lane.forget(prepared, gone):
            pass
        return number, found.get(HERE)


@pytest.fixture
def kept() -> Iterator[Kept]:
    engine = Engine(threads=1, capacity=16)
    yield Kept(engine)
    engine.close()


def test_rules_of_an_http_route_are_in_force_and_go_with_their_destination(kept: Kept) -> None:
    assert kept.put(policy(http(destination(Target(1, cluster(1))), cluster(2, name="v2"))))[0] == 1
    kept.put(Policy(), HERE)
    assert kept.lane.number(HERE) == 0


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (destination(Target(1, cluster(3))), 0),
        (http(destination(Target(1, cluster(1)))), 0),
        (http(destination(Target(1, cluster(1))), cluster(1), kind="GRPCRoute"), 0),
        (http(destination(Target(1, cluster(3)))), 1),
    ],
    ids=["opaque", "one endpoint", "gRPC", "several endpoints"],
)
def test_only_what_needs_rules_has_some(kept: Kept, one: Destination, expected: int) -> None:
    assert kept.put(policy(one))[0] == expected


@pytest.mark.parametrize("own", [Target(1, None, "is not there"), Target(1, cluster(0)), Target(0, cluster(1))])
def test_where_rules_decide_the_services_own_endpoints_do_not_matter(kept: Kept, own: Target) -> None:
    number, ruling = kept.put(policy(http(destination(own), cluster(2, name="v2"))))
    assert number == 1
    assert ruling is not None
    assert (ruling.speaking, ruling.shares) == (Speaking.HTTP, ())


def test_what_has_to_be_known_of_connections_comes_first(kept: Kept) -> None:
    routed = http(destination(Target(1, cluster(1))), cluster(2, name="v2"))
    assert kept.put(policy(replace(routed, rate_limit=RateLimit(1, 1)))) == (0, None)


def test_denied_sources_and_affinity_leave_requests_to_their_rules(kept: Kept) -> None:
    routed = http(destination(Target(1, cluster(1))), cluster(2, name="v2"))
    for one in (replace(routed, denied=NetworkSet.of([IPv4Network("10.0.0.0/8")])), replace(routed, affinity_s=5.0)):
        number, ruling = kept.put(policy(one))
        assert number == 1
        assert ruling is not None
        assert ruling.denied == one.denied.networks


def test_without_rules_a_destination_without_endpoints_is_decided_singly(kept: Kept) -> None:
    one = replace(destination(), rules=(Rule((Target(1, None, "is not there"),)),))
    assert kept.put(policy(http(one))) == (0, None)
