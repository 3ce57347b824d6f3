"""What a cluster becomes for the engine's choice."""

from dataclasses import replace

from proxy.core.lower.to_cluster import choosing
from proxy.core.policy.cluster import Locality
from proxy.core.policy.upstream import LocalitySettings, Outlier, UpstreamSettings
from proxy.core.resilience.health import HEALTHY, Fitness, health
from tests.unit.proxy.core.build import cluster

NEAR, FAR = Locality("eu", "a", "1"), Locality("us", "a", "1")


def test_all_ejected_means_all_used() -> None:
    web = cluster(2)
    found = choosing(web, health((web.name, one, Fitness(0, "x")) for one in web.endpoints))
    assert found.weights == (100, 100)


def test_localities_have_a_say_where_asked_for_and_known() -> None:
    web = replace(cluster(2), localities=(NEAR, FAR))
    asking = replace(web, settings=UpstreamSettings(locality=LocalitySettings()))
    assert choosing(web, HEALTHY, NEAR).weights == (100, 100)
    assert choosing(asking, HEALTHY).weights == (100, 100)
    assert choosing(asking, HEALTHY, NEAR).weights == (10_000, 0)
    out = health([("web", web.endpoints[0], Fitness(0, "x"))])
    assert choosing(asking, out, NEAR).weights == (0, 10_000)


def test_rows_are_asked_for_as_outlier_detection_says() -> None:
    web = cluster(1)
    assert choosing(web, HEALTHY).in_a_row == (0, 0, 0)
    for split, expected in ((False, (2, 3, 0)), (True, (2, 3, 4))):
        asked = replace(web, settings=UpstreamSettings(outlier=Outlier(2, 3, 4, split_local=split)))
        found = choosing(asked, HEALTHY)
        assert (found.in_a_row, found.split_local) == (expected, split)
