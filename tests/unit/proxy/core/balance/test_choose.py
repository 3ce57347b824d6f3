"""Connections that are decided one by one, while an endpoint is on trial."""

from collections import Counter
from random import Random

import pytest

from proxy.core.balance.choose import choose
from proxy.core.balance.loads import Loads
from proxy.core.balance.turns import Turns
from proxy.core.policy.cluster import Balancing
from proxy.core.resilience.health import Usable
from tests.unit.proxy.core.build import cluster


@pytest.mark.parametrize("balancing", [Balancing.RANDOM, Balancing.LEAST_REQUEST, Balancing.ROUND_ROBIN])
def test_one_on_trial_is_tried_as_often_as_its_weight_says_although_nothing_else_is_under_way(
    balancing: Balancing,
) -> None:
    three = cluster(3, balancing=balancing)
    fit = [Usable(three.endpoints[0], 10, trial=True), *(Usable(one, 100) for one in three.endpoints[1:])]
    random, turns = Random(1).random, Turns()
    found = Counter(choose(three, fit, Loads(), turns, random) for _ in range(2100))
    assert found[three.endpoints[0]] == pytest.approx(100, abs=30)
    assert found[three.endpoints[1]] == pytest.approx(1000, abs=80)


def test_where_all_are_on_trial_the_least_loaded_is_taken() -> None:
    two, loads = cluster(2, balancing=Balancing.LEAST_REQUEST), Loads()
    loads.taken("web", two.endpoints[0])
    fit = [Usable(one, 10, trial=True) for one in two.endpoints]
    assert {choose(two, fit, loads, Turns(), Random(1).random) for _ in range(20)} == {two.endpoints[1]}
