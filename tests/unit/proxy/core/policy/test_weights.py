"""Other weights for the backends of a Service's routes."""

from dataclasses import replace

import pytest

from proxy.core.policy.cluster import Cluster, ServiceName
from proxy.core.policy.http import HttpRule, HttpTarget
from proxy.core.policy.policy import Destination, Policy, Protocol, Rule, Target, frozen
from proxy.core.policy.weights import Unknown, Weights, service_named, with_weights
from proxy.core.route.match import EVERYTHING

SHOP, OTHER = ServiceName("a", "shop"), ServiceName("b", "shop")


def cluster(name: str) -> Cluster:
    return Cluster(name, ServiceName("a", name), 80, ())


V1, V2 = cluster("v1"), cluster("v2")
HTTP = HttpRule(EVERYTHING, (HttpTarget(90, V1, name="v1"), HttpTarget(10, V2, name="v2")), "a/r", "0")
ONE = HttpRule(EVERYTHING, (HttpTarget(1, None, "is not there", name="v1"),), "a/r", "1")
ROUTED = Destination(
    "shop", SHOP, 80, Protocol.HTTP, "", (Rule((Target(1, V1), Target(2, V2)), "a/tcp"),), http_rules=(HTTP, ONE)
)
PLAIN = replace(ROUTED, service=OTHER, http_rules=(), rules=(Rule((Target(1, V1),)),))
POLICY = Policy(
    outbound=frozen([(("10.0.0.1", 80), ROUTED), (("10.0.0.2", 80), ROUTED), (("10.0.0.3", 80), PLAIN)]), digest="d"
)


def weights(policy: Policy, ip: str = "10.0.0.1") -> tuple[list[list[int]], list[int]]:
    destination = policy.outbound[ip, 80]
    of_rules = [[target.weight for target in rule.targets] for rule in destination.http_rules]
    return of_rules, [target.weight for target in destination.targets]


def test_each_rule_that_has_the_name_is_changed() -> None:
    changed = with_weights(POLICY, Weights(SHOP, {"v1": 5}))
    assert weights(changed) == ([[5, 10], [5]], [5, 2])
    assert changed.outbound["10.0.0.1", 80] is changed.outbound["10.0.0.2", 80]
    assert changed.outbound["10.0.0.3", 80] is PLAIN
    assert changed.digest != POLICY.digest


def test_what_the_services_own_endpoints_get_is_no_weight_of_a_route() -> None:
    with pytest.raises(Unknown, match="no route is attached"):
        with_weights(POLICY, Weights(OTHER, {"v1": 5}))


def test_names_that_are_not_there_are_refused() -> None:
    with pytest.raises(Unknown, match="no backendRef is named 'v3': one of v1, v2"):
        with_weights(POLICY, Weights(SHOP, {"v1": 1, "v3": 1}))
    with pytest.raises(Unknown, match="no Service 'c/shop'"):
        with_weights(POLICY, Weights(ServiceName("c", "shop"), {"v1": 1}))


def test_a_service_is_named_with_or_without_its_namespace() -> None:
    assert service_named(POLICY, "b/shop") == OTHER
    with pytest.raises(Unknown, match="in several namespaces: one of a/shop, b/shop"):
        service_named(POLICY, "shop")
    with pytest.raises(Unknown, match="no Service 'x' is configured: one of a/shop, b/shop"):
        service_named(POLICY, "x")
    alone = Policy(outbound=frozen([(("10.0.0.1", 80), ROUTED)]))
    assert service_named(alone, "shop") == SHOP
