"""Naming what no lane obeys: by the line of the field, the outermost of nested ones, nothing that was not asked for."""

from __future__ import annotations

import pytest

from mesh.compile import in_force
from mesh.documents import read_text
from mesh.kinds.traffic_policy import TrafficPolicySpec

TEXT = """apiVersion: tidegate.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: p}
spec:
  targetRefs: [{name: web}]
  lane: auto
  connectionPool:
    tcp:
      connectTimeout: 1s
      tcpKeepalive:
        time: 5s
    http:
      maxRetries: 3
      useClientProtocol: true
  healthChecks:
  - tcp: {}
  statusWeights: {'503': 0.5}
"""


def spec() -> TrafficPolicySpec:
    (document,) = read_text("f.yaml", TEXT).documents
    found: TrafficPolicySpec = document.object.spec
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), []),
        (("retries", "fault.delay", "loadBalancer.warmup", "lane", "connectionPool.http.idleTimeout"), []),
        (("connectionPool.http",), [(13, "connectionPool.http")]),
        (("connectionPool.tcp.tcpKeepalive",), [(11, "connectionPool.tcp.tcpKeepalive")]),
        (("connectionPool.tcp.connectTimeout",), [(9, "connectionPool.tcp.connectTimeout")]),
        (("connectionPool", "connectionPool.http.useClientProtocol"), [(8, "connectionPool")]),
        (("connectionPool.http.useClientProtocol", "connectionPool.http.maxRetries.x"),
         [(13, "connectionPool.http.useClientProtocol")]),
        (("healthChecks", "statusWeights"), [(16, "healthChecks"), (5, "statusWeights")]),
    ],
)  # fmt: skip
def test_fields_are_named_where_they_stand(
    fields: tuple[str, ...], expected: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_force, "FIELDS_NOT_IN_FORCE", fields)
    assert list(in_force.not_in_force(spec())) == expected


def test_every_field_of_the_list_is_one_of_the_kind() -> None:
    """A list that names what is not there names nothing."""
    for path in in_force.FIELDS_NOT_IN_FORCE:
        here: type = TrafficPolicySpec
        for name in path.split("."):
            here = _type_of(here, name)


def _type_of(shape: type, name: str) -> type:
    import msgspec

    (field,) = [one for one in msgspec.structs.fields(shape) if one.encode_name == name]
    members = getattr(field.type, "__args__", (field.type,))
    shapes = [one for one in members if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    return shapes[0] if shapes else type(None)
