"""Istio's request metrics from the engine's counters: read by Prometheus' own parsers, in both formats."""

import itertools
from collections.abc import Iterator

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from proxy.core.policy.policy import ServiceName
from proxy.core.report.identity import Identity
from proxy.telemetry.databases import DatabaseCounts
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.request_counts import Group, RequestCounts
from proxy.telemetry.request_metrics import RequestMetrics, RequestSources
from proxy.telemetry.sources import MetricSources
from tests.unit.cext.tell.teller import Teller, teller

OWN = Identity("shop-web", "store", "shop", "v2", "shop", "v2", "east")
GROUPS = {
    1: Group("outbound|80||cart.ns.svc.cluster.local", "10.0.0.9:8080", ServiceName("ns", "cart")),
    2: Group("outbound|80||cart.ns.svc.cluster.local", "", ServiceName("ns", "cart")),
}
NO_DATABASES = DatabaseCounts(list, lambda _: None)
CPU = itertools.count(10.0, 8.0)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# Istio's documentation, "Labels" of its standard metrics, and grpc_response_status of its dashboards.
ISTIOS = frozenset(
    """reporter source_workload source_workload_namespace source_principal source_app source_version source_cluster
    source_canonical_service source_canonical_revision destination_workload destination_workload_namespace
    destination_principal destination_app destination_version destination_cluster destination_service
    destination_service_name destination_service_namespace destination_canonical_service
    destination_canonical_revision request_protocol response_code grpc_response_status response_flags
    connection_security_policy""".split()  # noqa: SIM905
)


def metrics_of(one: Teller) -> Metrics:
    counts = RequestCounts(one.exchanges, GROUPS.get)
    requests = RequestMetrics(RequestSources(counts, lambda: 3, lambda: 1.5, lambda: next(CPU), NO_DATABASES), OWN)
    sources = MetricSources(list, lambda: 0, lambda: False, 10, kept=list, pauses=lambda: (0, 0))
    return Metrics(sources, OWN, requests)


def samples(page: bytes, name: str) -> list[tuple[dict[str, str], float]]:
    families = parser.text_string_to_metric_families(page.decode())
    return [(one.labels, one.value) for family in families for one in family.samples if one.name == name]


@pytest.fixture
def told() -> Iterator[Teller]:
    with teller(threads=2) as one:
        both = {"service": b"ns/cart", "route": b"ns/canary", "group": 1, "upstream_us": 900, "proxy_us": 40}
        one.tell(**both, duration_us=1200, request_bytes=300, response_bytes=2_000, times=3)
        one.tell(**both, duration_us=30_000, worker=1, times=2)
        one.tell(service=b"ns/cart", group=2, status=503, flags=1, attempts=0)
        one.tell(inbound=1, scope=2, status=200, grpc=14)
        yield one


def test_labels_are_istios_and_the_workload_is_known(told: Teller) -> None:
    found = samples(metrics_of(told).render("")[1], "istio_requests_total")
    assert {frozenset(labels) for labels, _ in found} == {ISTIOS}
    by_code = {(labels["reporter"], labels["response_code"]): (labels, value) for labels, value in found}
    labels, value = by_code["source", "200"]
    assert value == 5
    assert (labels["source_workload"], labels["source_workload_namespace"]) == ("shop-web", "store")
    assert (labels["source_canonical_service"], labels["source_canonical_revision"]) == ("shop", "v2")
    assert labels["destination_service"] == "cart.ns.svc.cluster.local"
    assert (labels["destination_service_name"], labels["destination_service_namespace"]) == ("cart", "ns")
    assert (labels["response_flags"], labels["request_protocol"], labels["grpc_response_status"]) == ("-", "http", "")
    labels, value = by_code["source", "503"]
    assert (labels["response_flags"], labels["destination_service_name"], value) == ("UH", "cart", 1)
    labels, value = by_code["destination", "200"]
    assert (labels["destination_workload"], labels["source_workload"]) == ("shop-web", "unknown")
    assert (labels["request_protocol"], labels["grpc_response_status"]) == ("grpc", "14")
    assert labels["destination_service_name"] == "InboundPassthroughCluster"


def test_histograms_are_cumulative_and_add_up(told: Teller) -> None:
    page = metrics_of(told).render("")[1]
    name = "istio_request_duration_milliseconds"
    buckets = [
        (labels["le"], value)
        for labels, value in samples(page, f"{name}_bucket")
        if (labels["response_code"], labels["reporter"]) == ("200", "source")
    ]
    assert dict(buckets)["1.0"] == 0
    assert dict(buckets)["5.0"] == 3
    assert dict(buckets)["25.0"] == 3
    assert dict(buckets)["50.0"] == dict(buckets)["+Inf"] == 5
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
    sums = {(at["response_code"], at["reporter"]): value for at, value in samples(page, f"{name}_sum")}
    assert sums["200", "source"] == pytest.approx(63.6)
    proxy = samples(page, "tidegate_request_proxy_seconds_sum")
    assert ({"direction": "outbound", "service": "ns/cart", "route": "ns/canary"}, pytest.approx(0.0002)) in proxy


def test_ours_tell_route_endpoint_and_cpu(told: Teller) -> None:
    page = metrics_of(told).render("")[1]
    at = {"cluster": GROUPS[1].cluster, "endpoint": "10.0.0.9:8080", "status": "2xx"}
    assert samples(page, "tidegate_endpoint_requests_total") == [(at, 5)]
    assert samples(page, "tidegate_engine_cpu_seconds_total") == [({}, 1.5)]
    assert samples(page, "tidegate_requests_untold_total") == [({}, 3)]
    assert samples(page, "tidegate_cpu_seconds_per_request") == [({}, 8.0 / 7)]
    attempts = {labels["route"]: value for labels, value in samples(page, "tidegate_request_attempts_total")}
    assert attempts["ns/canary"] == 5


def test_both_formats_are_what_their_parsers_read(told: Teller) -> None:
    metrics = metrics_of(told)
    content_type, page = metrics.render(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    found = {family.name: family.type for family in parse_openmetrics(page.decode())}
    assert found["istio_requests"] == "counter"
    assert found["istio_response_bytes"] == "histogram"
    _, page = metrics.render("")
    assert {family.name for family in parser.text_string_to_metric_families(page.decode())} >= found.keys()


def test_counters_never_go_back_between_scrapes(told: Teller) -> None:
    metrics = metrics_of(told)
    before = {frozenset(labels.items()): v for labels, v in samples(metrics.render("")[1], "istio_requests_total")}
    told.tell(service=b"ns/cart", group=1, route=b"ns/canary")
    after = {frozenset(labels.items()): v for labels, v in samples(metrics.render("")[1], "istio_requests_total")}
    assert sum(after.values()) == sum(before.values()) + 1
    assert all(after[key] >= value for key, value in before.items())


def test_many_services_are_rendered_in_small_pieces() -> None:
    with teller() as one:
        for number in range(2000):
            one.tell(service=b"ns/s%d" % number)
        metrics = metrics_of(one)
        pieces = [piece for piece in metrics.slices("") if piece]
        assert max(len(piece) for piece in pieces) < 200_000
        assert b"".join(pieces).count(b"\nistio_requests_total{") == 2000
