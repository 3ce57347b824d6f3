"""Clusters of a policy in a real engine: numbers that stay, and what is put in force."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from cext.engine.clusters import ClusterEndpoint, Clusters, ClusterSpec
from cext.engine.engine import Engine, EngineError
from cext.engine.values import SocketAddress
from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.lower.site_layout import NO_CLUSTER
from proxy.core.policy.cluster import Balancing, Cluster
from proxy.core.policy.upstream import ConsistentHash, HashTable, HttpBalancing, Limits, UpstreamSettings
from proxy.core.resilience.health import HEALTHY, Fitness, Health, health
from proxy.lanes.parsed.clusters import EngineClusters, HealthEvents
from tests.unit.proxy.core.build import cluster

HERE = SocketAddress("10.0.0.1", 80)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


class Recording(Clusters):
    """The real ones, and what was asked of them."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.asked: dict[int, ClusterSpec] = {}
        self.calls = 0

    def set(self, number: int, spec: ClusterSpec) -> None:
        super().set(number, spec)
        self.calls += 1
        self.asked[number] = spec

    def remove(self, number: int) -> None:
        super().remove(number)
        del self.asked[number]


class World:
    def __init__(self, engine: Engine) -> None:
        self.engine_side = Recording(engine)
        nothing = HealthEvents(lambda *_: None, lambda *_: None)
        self._groups: dict[tuple[str, UpstreamAddress], int] = {}
        self.clusters = EngineClusters(self.engine_side, nothing, 5.0, self._group)

    def _group(self, cluster: Cluster, endpoint: UpstreamAddress) -> int:
        return self._groups.setdefault((cluster.name, endpoint), len(self._groups) + 1)

    def exchange(self, *clusters: Cluster, health: Health = HEALTHY) -> None:
        for _ in self.clusters.exchange(clusters, health):
            pass

    def spec(self, one: Cluster) -> ClusterSpec:
        return self.engine_side.asked[self.clusters.number(one)]


def test_what_does_not_differ_is_not_put_again_and_numbers_stay(engine: Engine) -> None:
    world = World(engine)
    web, api = cluster(2), cluster(3, name="api")
    world.exchange(web, api)
    number = world.clusters.number(api)
    assert number != world.clusters.number(web)
    assert world.engine_side.calls == 2
    world.exchange(web, api)
    assert world.engine_side.calls == 2
    world.clusters.forget([world.clusters.number(web)])
    assert list(world.engine_side.asked) == [number]
    world.exchange(cluster(1, name="new"))
    assert len(world.engine_side.asked) == 2
    assert world.clusters.number(api) == number


def test_a_change_of_health_reaches_a_cluster_that_policy_did_not_change(engine: Engine) -> None:
    world, web, api = World(engine), cluster(2), cluster(2, name="api")
    world.exchange(web, api)
    ejected = health([("web", web.endpoints[0], Fitness(0, "ejected")), ("gone", web.endpoints[0], Fitness(0, "x"))])
    world.exchange(health=ejected)
    assert [one.weight for one in world.spec(web).endpoints] == [0, 100]
    assert world.engine_side.calls == 3
    world.exchange(health=HEALTHY)
    assert [one.weight for one in world.spec(web).endpoints] == [100, 100]
    assert world.engine_side.calls == 4


def test_an_exchange_that_ended_half_way_is_made_up_for(engine: Engine) -> None:
    world, web, api = World(engine), cluster(2), cluster(2, name="api")
    world.exchange(web, api)
    ejected = health([(name, web.endpoints[0], Fitness(0, "ejected")) for name in ("web", "api")])
    next(world.clusters.exchange((), ejected))
    world.exchange(health=ejected)
    assert [world.spec(one).endpoints[0].weight for one in (web, api)] == [0, 0]


def test_requests_to_the_original_destination_have_no_cluster(engine: Engine) -> None:
    world, passing = World(engine), replace(cluster(1), balancing=Balancing.PASSTHROUGH)
    world.exchange(passing)
    assert world.clusters.number(passing) == NO_CLUSTER
    assert world.engine_side.asked == {}


def test_each_address_family_has_a_cluster_of_its_own(engine: Engine) -> None:
    world, four = World(engine), cluster(1)
    six = replace(four, endpoints=(UpstreamAddress(Address("fd00::1", 80)),))
    world.exchange(four, six)
    assert world.spec(four).endpoints[0].address.ip == "10.1.0.1"
    assert world.spec(six).endpoints[0].address.ip == "fd00::1"


def test_health_becomes_weight_and_trial_and_groups_stay(engine: Engine) -> None:
    world, web = World(engine), cluster(3)
    world.exchange(web)
    groups = [one.group for one in world.spec(web).endpoints]
    opinions = [
        ("web", web.endpoints[0], Fitness(0, "ejected")),
        ("web", web.endpoints[1], Fitness(10, "on trial", trial=True)),
    ]
    world.exchange(web, health=health(opinions))
    assert [(one.weight, one.trial) for one in world.spec(web).endpoints] == [(0, False), (10, True), (100, False)]
    assert [one.group for one in world.spec(web).endpoints] == groups
    assert [world.clusters.member(group).endpoint for group in groups] == list(web.endpoints)
    assert world.clusters.counts("web").keys() == set(web.endpoints)
    assert world.clusters.tallies("web")[web.endpoints[0]].sequential


@pytest.mark.parametrize("table", list(HashTable))
def test_a_consistent_hash_becomes_a_table_without_the_ejected(engine: Engine, table: HashTable) -> None:
    settings = UpstreamSettings(hash=ConsistentHash(header="x", table=table, size=101))
    world, web = World(engine), replace(cluster(3), settings=settings)
    world.exchange(web, health=health([("web", web.endpoints[1], Fitness(0, "ejected"))]))
    spec = world.spec(web)
    assert set(spec.places) == {0, 2}
    assert bool(spec.points) is (table is HashTable.RING)


def test_limits_method_and_connect_timeout(engine: Engine) -> None:
    limits = Limits(connections=1, pending=2, requests=3, retries=4, requests_per_connection=5, endpoint_requests=6)
    settings = UpstreamSettings(HttpBalancing.ROUND_ROBIN, limits=limits)
    world, web = World(engine), replace(cluster(1), settings=settings)
    world.exchange(web)
    spec = world.spec(web)
    assert spec.choose.name == "ROUND_ROBIN"
    assert (spec.limits.connections, spec.limits.pending, spec.limits.requests, spec.limits.retries) == (1, 2, 3, 4)
    assert (spec.limits.connection_requests, spec.limits.endpoint_requests) == (5, 6)
    assert (spec.connect_timeout_ms, spec.idle_timeout_ms) == (5000, 3_600_000)


@pytest.mark.parametrize(
    "spec",
    [
        ClusterSpec((ClusterEndpoint(HERE, 1),), places=(1,)),
        ClusterSpec((ClusterEndpoint(HERE, 1),), places=(0, 0), points=(5, 4)),
        ClusterSpec((ClusterEndpoint(HERE, 1, 2**32 - 1), ClusterEndpoint(HERE, 2))),
        ClusterSpec((ClusterEndpoint(SocketAddress("10.0.0.1", 0), 1),)),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(engine: Engine, spec: ClusterSpec) -> None:
    clusters = Clusters(engine)
    with pytest.raises(EngineError):
        clusters.set(0, spec)
    assert clusters.counts(1) is None


def test_removing_what_is_not_there_is_no_error_and_a_closed_engine_has_no_news(engine: Engine) -> None:
    clusters = Clusters(engine)
    clusters.remove(7)
    clusters.set(70, ClusterSpec((ClusterEndpoint(HERE, 9),)))
    found = clusters.counts(9)
    assert found is not None
    assert (found.answered, found.failures, found.statuses, found.latency_us) == (0, (0, 0, 0), {}, None)
    assert clusters.news() == []
    engine.close()
    assert clusters.news() == []
    assert clusters.counts(9) is None
