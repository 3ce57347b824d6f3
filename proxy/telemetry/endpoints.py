"""Per endpoint, from the counters of those who move the bytes. Endpoints come from configuration, so their addresses
may be labels; original destinations never are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from proxy.core.decide.verdict import Verdict
from proxy.core.report.counts import EndpointCounts

_LABELS = ("cluster", "endpoint", "lane")
_COUNTERS = {
    "opened": ("tidegate_endpoint_connections_opened", "Connections made."),
    "closed": ("tidegate_endpoint_connections_closed", "Connections ended."),
    "failed": ("tidegate_endpoint_connect_failures", "Connects that failed."),
    "bytes_sent": ("tidegate_endpoint_sent_bytes", "Bytes to the endpoint."),
    "bytes_received": ("tidegate_endpoint_received_bytes", "Bytes from the endpoint."),
}


@dataclass(frozen=True, slots=True)
class EndpointSources:
    kept: Callable[[], Iterable[tuple[Verdict, EndpointCounts]]]
    """By the engine; connections that were decided one by one are not among them."""
    direct: Callable[[], Iterable[tuple[Verdict, EndpointCounts]]]
    """By the kernel, which knows round trips and retransmissions as well."""


class EndpointMetrics:
    """A collector; looks when somebody scrapes."""

    def __init__(self, sources: EndpointSources) -> None:
        self._sources = sources

    def collect(self) -> Iterable[Metric]:
        direct = _added(self._sources.direct())
        rows = {**_added(self._sources.kept()), **direct}
        for field, (name, text) in _COUNTERS.items():
            family = CounterMetricFamily(name, text, labels=_LABELS)
            for labels, counts in rows.items():
                family.add_metric(labels, getattr(counts, field))
            yield family
        retransmits = CounterMetricFamily("tidegate_endpoint_retransmits", "Segments sent again.", labels=_LABELS)
        srtt = GaugeMetricFamily("tidegate_endpoint_srtt_seconds", "Smoothed round trip time.", labels=_LABELS)
        turned_away = CounterMetricFamily(
            "tidegate_direct_refused", "Refused by the kernel at connect().", labels=("cluster", "reason")
        )
        for labels, counts in direct.items():
            retransmits.add_metric(labels, counts.retransmits)
            if counts.srtt_us:
                srtt.add_metric(labels, counts.srtt_us / 1e6)
        for cluster, reason, count in _refused(self._sources.direct()):
            turned_away.add_metric((cluster, reason), count)
        yield from (retransmits, srtt, turned_away)


def _added(rows: Iterable[tuple[Verdict, EndpointCounts]]) -> dict[tuple[str, str, str], EndpointCounts]:
    found: dict[tuple[str, str, str], EndpointCounts] = {}
    for verdict, counts in rows:
        if verdict.upstream.ip:
            labels = (verdict.cluster, str(verdict.upstream), str(verdict.lane))
            found[labels] = found.get(labels, EndpointCounts()) + counts
    return found


def _refused(rows: Iterable[tuple[Verdict, EndpointCounts]]) -> Iterable[tuple[str, str, int]]:
    found: dict[tuple[str, str], int] = {}
    for verdict, counts in rows:
        for reason, count in (("denied", counts.denied), ("rate-limited", counts.limited)):
            if count:
                found[verdict.cluster, reason] = found.get((verdict.cluster, reason), 0) + count
    return ((cluster, reason, count) for (cluster, reason), count in found.items())
