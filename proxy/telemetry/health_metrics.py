"""Which endpoints are out of use, as metrics. Clusters and endpoints come from configuration, so they may be labels."""

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from proxy.core.resilience.health import Health


class HealthMetrics:
    """A collector; looks when a page is asked for. health: what is in force."""

    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health

    def collect(self) -> Iterable[Metric]:
        ejected = GaugeMetricFamily(
            "tidegate_endpoints_ejected", "Endpoints that get no connection: ejected or unwell.", labels=("cluster",)
        )
        reduced = GaugeMetricFamily(
            "tidegate_endpoints_reduced", "Endpoints that get less than their share.", labels=("cluster",)
        )
        for cluster, impaired in self._health().clusters.items():
            out = sum(one.percent == 0 for one in impaired.values())
            ejected.add_metric((cluster,), out)
            reduced.add_metric((cluster,), len(impaired) - out)
        yield from (ejected, reduced)
