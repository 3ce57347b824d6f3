"""A connection that its endpoint refused goes to another one: each cluster's own counts add up."""

from __future__ import annotations

import re

import pytest

from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.close_reason import CloseReason
from proxy.core.decide.verdict import Verdict
from proxy.core.lanes import Direction, Lane
from proxy.core.policy.policy import ServiceName
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sources import MetricSources
from tests.unit.proxy.telemetry.test_telemetry import OpenConnection


def verdict(cluster: str, last: int, service: str = "web") -> Verdict:
    upstream = UpstreamAddress(Address(f"10.0.0.{last}", 80))
    return Verdict(upstream, cluster, "tcp", Lane.SPLICE, "", service=ServiceName(namespace="default", name=service))


def counted(metrics: Metrics, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    found = 0.0
    for line in metrics.render("")[1].decode().splitlines():
        matched = re.fullmatch(rf"{name}\{{(.*)\}} ([0-9.e+]+)", line)
        if matched and all(f'{key}="{value}"' in matched[1] for key, value in labels.items()):
            found += float(matched[2])
    return found


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(MetricSources(list, lambda: 0, lambda: False, 10, kept=list, pauses=lambda: (0, 0)))


def move(metrics: Metrics, before: Verdict, after: Verdict) -> None:
    connection = OpenConnection(Direction.OUTBOUND, before)
    metrics.opened(connection)
    connection.verdict = after
    metrics.moved(connection, before)
    connection.to_upstream = 7
    metrics.closed(connection, CloseReason.FINISHED)


def test_across_clusters_it_has_come_and_gone_in_the_first_and_come_and_gone_in_the_second(metrics: Metrics) -> None:
    move(metrics, verdict("v1", 1, "web"), verdict("v2", 2, "canary"))
    opened, closed = "istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total"
    for service, flags in (("web", "UF,URX"), ("canary", "-")):
        assert counted(metrics, opened, destination_service_name=service) == 1
        assert counted(metrics, closed, destination_service_name=service) == 1
        assert counted(metrics, closed, destination_service_name=service, response_flags=flags) == 1
    assert counted(metrics, "istio_tcp_received_bytes_total", destination_service_name="web") == 0
    assert counted(metrics, "istio_tcp_received_bytes_total", destination_service_name="canary") == 7
    assert counted(metrics, "tidegate_upstream_connect_failures_total", cluster="v1") == 1
    assert counted(metrics, "tidegate_upstream_connect_failures_total", cluster="v2") == 0
    assert counted(metrics, "tidegate_upstream_retries_total", direction="outbound") == 1
    assert counted(metrics, "tidegate_connections_closed_total", direction="outbound") == 1


def test_clusters_of_one_service_count_as_two(metrics: Metrics) -> None:
    move(metrics, verdict("v1", 1), verdict("v2", 2))
    assert counted(metrics, "istio_tcp_connections_opened_total") == 2
    assert counted(metrics, "istio_tcp_connections_closed_total") == 2


def test_within_a_cluster_it_is_one_connection(metrics: Metrics) -> None:
    move(metrics, verdict("v1", 1), verdict("v1", 2))
    assert counted(metrics, "istio_tcp_connections_opened_total") == 1
    assert counted(metrics, "istio_tcp_connections_closed_total") == 1
    assert counted(metrics, "tidegate_upstream_connect_failures_total", cluster="v1") == 1
    assert counted(metrics, "tidegate_upstream_retries_total") == 1
