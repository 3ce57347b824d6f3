"""Metrics of requests: Istio's under their own names and with their labels, ours under `tidegate_`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proxy.core.report.identity import Identity
from proxy.core.report.istio_labels import http_labels
from proxy.telemetry.databases import DatabaseCounts
from proxy.telemetry.exposition import (
    ISTIO_BOUNDS,
    PROXY_BOUNDS,
    SECONDS_BOUNDS,
    header,
    histogram,
    in_slices,
    labelled,
    sample,
)
from proxy.telemetry.request_counts import RequestCounts, Routed, Sums, Told


@dataclass(frozen=True, slots=True)
class RequestSources:
    """Where the values come from that are only looked at when somebody scrapes."""

    counts: RequestCounts
    dropped: Callable[[], int]
    """Records that were neither logged nor shown."""
    engine_cpu_s: Callable[[], float]
    """CPU time of the engine's threads."""
    process_cpu_s: Callable[[], float]
    """CPU time of the whole proxy."""
    databases: DatabaseCounts


class RequestMetrics:
    """Belongs to the event loop, which gets its turn between two slices."""

    def __init__(self, sources: RequestSources, own: Identity) -> None:
        self._sources = sources
        self._own = own
        self._labels: dict[Told, str] = {}
        self._looked_at = (0, sources.process_cpu_s())
        """Requests and CPU time when the share of each request was last worked out."""
        self._cpu_each_s = 0.0

    def update(self) -> Iterator[None]:
        """Bring the numbers up to date, in steps."""
        yield from self._sources.counts.read()
        requests, cpu_s = self._sources.counts.requests, self._sources.process_cpu_s()
        earlier, earlier_s = self._looked_at
        if requests > earlier:
            self._cpu_each_s = (cpu_s - earlier_s) / (requests - earlier)
            self._looked_at = (requests, cpu_s)

    def slices(self, *, openmetrics: bool) -> Iterator[bytes]:
        return in_slices(self._lines(openmetrics))

    def _lines(self, openmetrics: bool) -> Iterator[str]:
        def begin(name: str, kind: str, text: str) -> str:
            return header(name, kind, text, openmetrics=openmetrics)

        counts = self._sources.counts
        told = [(self._labelled(key), sums) for key, sums in counts.told.items()]
        routed = [(_labelled_route(key), sums) for key, sums in counts.routed.items()]
        yield begin("istio_requests_total", "counter", "Requests.")
        for labels, sums in told:
            yield sample("istio_requests_total", labels, sums.requests)
        for name, text, times, total in _ISTIO:
            yield begin(name, "histogram", text)
            for labels, sums in told:
                yield histogram(name, labels, ISTIO_BOUNDS, times(sums), total(sums))
        for name, text, bounds, times, total in _OURS:
            yield begin(name, "histogram", text)
            for labels, sums in routed:
                yield histogram(name, labels, bounds, times(sums), total(sums))
        yield begin("tidegate_request_attempts_total", "counter", "Attempts to have requests answered by an endpoint.")
        for labels, sums in routed:
            yield sample("tidegate_request_attempts_total", labels, sums.attempts)
        yield begin("tidegate_endpoint_requests_total", "counter", "Requests by endpoint and class of status.")
        for (cluster, endpoint, status), requests in counts.endpoints.items():
            at = labelled({"cluster": cluster, "endpoint": endpoint, "status": status})
            yield sample("tidegate_endpoint_requests_total", at, requests)
        yield begin(
            "tidegate_requests_untold_total", "counter", "Requests that were counted, but neither logged nor shown."
        )
        yield sample("tidegate_requests_untold_total", "", self._sources.dropped())
        yield begin("tidegate_engine_cpu_seconds_total", "counter", "CPU time of the threads that move bytes.")
        yield sample("tidegate_engine_cpu_seconds_total", "", self._sources.engine_cpu_s())
        yield begin(
            "tidegate_cpu_seconds_per_request",
            "gauge",
            "The proxy's own CPU time, of the requests since the last page.",
        )
        yield sample("tidegate_cpu_seconds_per_request", "", self._cpu_each_s)
        yield from self._sources.databases.lines(openmetrics=openmetrics)

    def _labelled(self, key: Told) -> str:
        found = self._labels.get(key)
        if found is None:
            direction, cluster, service, status, flags, grpc = key
            labels = http_labels(
                direction, cluster, status=status, response_flags=flags, grpc=grpc, service=service, own=self._own
            )
            found = self._labels[key] = labelled(labels)
        return found


def _labelled_route(key: Routed) -> str:
    return labelled({"direction": key.direction, "service": key.service, "route": key.route})


_Buckets = Callable[[Sums], list[int]]
_Total = Callable[[Sums], float]
_ISTIO: tuple[tuple[str, str, _Buckets, _Total], ...] = (
    (
        "istio_request_duration_milliseconds",
        "From a request's first byte to its answer's last.",
        lambda one: one.durations,
        lambda one: one.duration_us / 1000,
    ),
    (
        "istio_request_bytes",
        "Bytes of requests, heads included.",
        lambda one: one.request_sizes,
        lambda one: one.request_bytes,
    ),
    (
        "istio_response_bytes",
        "Bytes of answers, heads included.",
        lambda one: one.response_sizes,
        lambda one: one.response_bytes,
    ),
)
_OURS: tuple[tuple[str, str, tuple[str, ...], _Buckets, _Total], ...] = (
    (
        "tidegate_request_upstream_seconds",
        "From a request's head on its way to its answer's first byte.",
        SECONDS_BOUNDS,
        lambda one: one.upstream_times,
        lambda one: one.upstream_us / 1e6,
    ),
    (
        "tidegate_request_proxy_seconds",
        "The part of a request's time that neither side was waited for.",
        PROXY_BOUNDS,
        lambda one: one.proxy_times,
        lambda one: one.proxy_us / 1e6,
    ),
)
