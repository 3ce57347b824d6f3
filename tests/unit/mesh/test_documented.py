"""The examples of docs/configuration.md are configuration, and mean what the page says of them."""

from __future__ import annotations

import re
from pathlib import Path

from proxy.core.policy.settings import Abort, Delay, Fault
from tests.unit.mesh.support import pod, policy_of, service

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "configuration.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SHOP = service("shop", "10.0.0.1", port="port: 80, name: http")
SLICE = """
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, namespace: shop, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.1.0.1], targetRef: {kind: Pod, name: old, namespace: shop}}
- {addresses: [10.1.0.2], targetRef: {kind: Pod, name: new, namespace: shop}}
"""


def example(kind: str) -> str:
    (found,) = [one for one in EXAMPLES if f"kind: {kind}\n" in one]
    return f"\n---\n{found}"


def test_every_example_is_right() -> None:
    assert len(EXAMPLES) == 3
    for one in EXAMPLES:
        policy_of(SHOP + SLICE + f"\n---\n{one}")


def test_a_service_split_by_subsets() -> None:
    text = SHOP + SLICE + pod("old", "version: v1") + pod("new", "version: v2") + example("HTTPRoute")
    (rule,) = policy_of(text)[0].outbound["10.0.0.1", 80].http_rules
    found = [(one.weight, one.cluster.endpoints if one.cluster else ()) for one in rule.targets]
    assert [(weight, [one.ip for one in endpoints]) for weight, endpoints in found] == [
        (90, ["10.1.0.1"]), (10, ["10.1.0.2"]),
    ]  # fmt: skip


def test_a_policy_with_everything() -> None:
    (text,) = [one for one in EXAMPLES if "name: shop-http" in one]
    found = policy_of(SHOP + SLICE + f"\n---\n{text}")[0].outbound["10.0.0.1", 80]
    assert found.http.fault == Fault(Delay(50.0, 0.3), Abort(30.0, 418))
    cluster = found.targets[0].cluster
    assert cluster is not None
    assert (cluster.max_connections, cluster.settings.limits.endpoint_connections) == (100, 20)
    assert (cluster.settings.outlier is not None, len(cluster.settings.health_checks)) == (True, 1)
