"""One opinion of each endpoint, put together from counts, rows, trials, probes, statuses and age."""

from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.policy.cluster import Cluster, ServiceName
from proxy.core.policy.policy import Policy
from proxy.core.policy.upstream import HealthCheck, HealthProtocol, Outlier, SuccessRate, UpstreamSettings, Warmup
from proxy.core.resilience.cluster_health import ClusterHealth
from proxy.core.resilience.outlier import TRIAL_PERCENT
from proxy.core.resilience.tally import Tally
from proxy.core.resilience.watched import Watched

ONE, TWO, THREE = (UpstreamAddress(Address("10.0.0.1", port)) for port in (1, 2, 3))
ALL = (ONE, TWO, THREE)
EJECTING = UpstreamSettings(outlier=Outlier(max_ejection_percent=100))
CHECK = HealthCheck(HealthProtocol.TCP, unhealthy_threshold=2, healthy_threshold=2)


def cluster(settings: UpstreamSettings = EJECTING) -> ClusterHealth:
    found = ClusterHealth(settings, ALL)
    found.counted("splice", {one: Tally() for one in ALL}, 1, 0)
    return found


def percents(health: ClusterHealth, now: float) -> dict[UpstreamAddress, int]:
    return {endpoint: one.percent for endpoint, one in health.fitness(now).items()}


def test_connections_that_fail_in_a_row_eject_and_a_success_ends_the_row() -> None:
    health = cluster()
    health.counted("splice", {ONE: Tally(0, 4), TWO: Tally(0, 4)}, 1, 1)
    assert health.fitness(1) == {}
    health.counted("splice", {ONE: Tally(0, 5), TWO: Tally(1, 5)}, 1, 2)
    assert percents(health, 2) == {ONE: 0}
    assert "5 connections in a row" in health.fitness(2)[ONE].reason
    health.counted("splice", {TWO: Tally(1, 9)}, 1, 3)
    assert percents(health, 3) == {ONE: 0}


def test_a_trial_on_a_counting_lane_is_decided_by_the_next_connection() -> None:
    for more, expected in ((Tally(1, 5), {}), (Tally(0, 6), {ONE: 0}), (Tally(0, 5), {ONE: TRIAL_PERCENT})):
        health = cluster()
        health.counted("splice", {ONE: Tally(0, 5)}, 1, 1)
        assert percents(health, 31) == {ONE: TRIAL_PERCENT}
        health.counted("splice", {ONE: more}, 1, 32)
        assert percents(health, 33) == expected


def test_what_was_counted_before_the_first_look_is_history() -> None:
    health = ClusterHealth(EJECTING, ALL)
    health.counted("splice", {ONE: Tally(0, 1000)}, 1, 1)
    assert health.fitness(1) == {}
    health.counted("splice", {ONE: Tally(0, 3)}, 1, 2)  # began anew
    assert health.fitness(2) == {}
    health.counted("splice", {ONE: Tally(0, 5)}, 1, 3)
    assert percents(health, 3) == {ONE: 0}


def test_a_lane_that_tells_rows_itself_is_not_counted() -> None:
    health = cluster()
    health.counted("parsed", {ONE: Tally(sequential=True)}, 1, 1)
    health.counted("parsed", {ONE: Tally(0, 50, sequential=True)}, 1, 2)
    assert health.fitness(2) == {}
    health.in_a_row(ONE, "5 in a row", 3)
    assert percents(health, 3) == {ONE: 0}
    health.tried(ONE, True, 40)
    assert health.fitness(40) == {}


def test_split_local_has_a_limit_of_its_own() -> None:
    for split, limit in ((False, 2), (True, 4)):
        outlier = Outlier(2, 3, 4, split_local=split, max_ejection_percent=100)
        health = cluster(UpstreamSettings(outlier=outlier))
        health.counted("splice", {ONE: Tally(0, limit - 1)}, 1, 1)
        assert health.fitness(1) == {}
        health.counted("splice", {ONE: Tally(0, limit)}, 1, 2)
        assert percents(health, 2) == {ONE: 0}


def test_without_outlier_detection_nothing_is_ejected() -> None:
    health = cluster(UpstreamSettings(status_weights=((503, 0.5),)))
    health.counted("splice", {ONE: Tally(0, 100)}, 1, 1)
    health.in_a_row(ONE, "x", 1)
    assert health.fitness(1) == {}


def test_under_the_threshold_all_are_used() -> None:
    health = cluster(UpstreamSettings(outlier=Outlier(max_ejection_percent=100, min_health_percent=50)))
    health.in_a_row(ONE, "x", 0)
    assert percents(health, 0) == {ONE: 0}
    health.in_a_row(TWO, "x", 0)
    assert health.fitness(0) == {}
    assert percents(health, 31) == {ONE: TRIAL_PERCENT, TWO: TRIAL_PERCENT}


def test_checks_take_an_endpoint_out_and_back() -> None:
    health = cluster(UpstreamSettings(health_checks=(CHECK, CHECK)))
    health.probed(ONE, 0, "refused")
    assert health.fitness(0) == {}
    health.probed(ONE, 0, "refused")
    assert health.fitness(0)[ONE].reason == "health check failed: refused"
    health.probed(ONE, 1, None)
    health.probed(ONE, 1, None)
    health.probed(ONE, 0, None)
    assert percents(health, 0) == {ONE: 0}
    health.probed(ONE, 0, None)
    assert health.fitness(0) == {}
    health.probed(UpstreamAddress(Address("10.9.9.9", 1)), 0, "x")
    health.probed(ONE, 7, "x")
    assert health.fitness(0) == {}


def test_weight_is_lost_and_grows_back() -> None:
    health = cluster(UpstreamSettings(status_weights=((503, 0.5),)))
    health.counted("parsed", {ONE: Tally()}, 1, 0)
    health.counted("parsed", {ONE: Tally(0, 10, {503: 10})}, 1, 1)
    assert percents(health, 1) == {ONE: 50}
    health.counted("parsed", {ONE: Tally(0, 20, {503: 20})}, 1, 2)
    assert percents(health, 2) == {ONE: 25}
    for second in range(3, 18):
        health.counted("parsed", {ONE: Tally(second, 20, {503: 20})}, 1, second)
    assert health.fitness(18) == {}


def test_opinions_multiply() -> None:
    settings = UpstreamSettings(warmup=Warmup(100.0), status_weights=((503, 0.5),))
    health = ClusterHealth(settings, (ONE,))
    health.exchange(settings, ALL, 0)
    health.counted("parsed", {TWO: Tally()}, 1, 0)
    health.counted("parsed", {TWO: Tally(0, 10, {503: 10})}, 1, 1)
    assert percents(health, 50) == {TWO: 25, THREE: 50}
    assert "; " in health.fitness(50)[TWO].reason
    assert percents(health, 100) == {TWO: 50}


def test_a_new_policy_keeps_what_is_known_of_those_who_stay() -> None:
    health = cluster()
    health.in_a_row(ONE, "x", 0)
    health.in_a_row(TWO, "x", 0)
    health.exchange(EJECTING, (ONE, THREE), 1)
    health.time_passes(1)
    health.time_passes(12)
    assert percents(health, 12) == {ONE: 0}


def test_the_success_rate_is_judged_at_the_end_of_each_interval() -> None:
    outlier = Outlier(max_ejection_percent=100, success_rate=SuccessRate(3, 10, 1.0))
    health = cluster(UpstreamSettings(outlier=outlier))
    health.time_passes(0)
    bad = {ONE: Tally(50, 50, sequential=True), TWO: Tally(100), THREE: Tally(100)}
    health.counted("splice", bad, 1, 1)
    health.time_passes(9.9)
    assert health.fitness(9.9) == {}
    health.time_passes(10)
    assert percents(health, 10) == {ONE: 0}
    health.tried(ONE, True, 41)
    health.time_passes(50)  # the interval has nothing in it
    assert health.fitness(50) == {}


def policy(settings: UpstreamSettings, *members: UpstreamAddress) -> Policy:
    return Policy(clusters=(Cluster("outbound|80||web", ServiceName("shop", "web"), 80, members, settings=settings),))


def test_only_clusters_that_ask_for_it_are_watched_and_only_changes_are_told() -> None:
    watched = Watched()
    watched.exchange(policy(UpstreamSettings(), ONE), 0)
    assert not watched.clusters
    watched.exchange(policy(EJECTING, ONE, TWO), 0)
    assert watched.health(0) is None
    watched.clusters["outbound|80||web"].in_a_row(ONE, "x", 0)
    found = watched.health(0)
    assert found is not None
    assert found.of("outbound|80||web").keys() == {ONE}  # type: ignore[union-attr]
    assert watched.health(1) is None
    watched.exchange(policy(EJECTING, ONE, TWO, THREE), 2)
    assert watched.health(2) is None
    watched.exchange(policy(UpstreamSettings(), ONE), 3)
    gone = watched.health(3)
    assert gone is not None
    assert not gone.clusters
