"""Endpoints that are out of use, counted by cluster."""

from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.resilience.health import HEALTHY, Fitness, Health, health
from proxy.telemetry.health_metrics import HealthMetrics


def told(value: Health) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["cluster"]): sample.value
        for family in HealthMetrics(lambda: value).collect()
        for sample in family.samples
    }


def test_the_ejected_and_the_reduced_are_told_apart() -> None:
    first, second, third = (UpstreamAddress(Address("10.0.0.1", port)) for port in (1, 2, 3))
    found = told(
        health(
            [
                ("shop", first, Fitness(0, "ejected")),
                ("shop", second, Fitness(0, "unwell")),
                ("shop", third, Fitness(40, "warming up")),
            ]
        )
    )
    assert found == {("tidegate_endpoints_ejected", "shop"): 2, ("tidegate_endpoints_reduced", "shop"): 1}


def test_where_all_are_whole_there_are_no_series() -> None:
    assert told(HEALTHY) == {}
