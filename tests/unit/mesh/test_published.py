"""Published kinds: every field of a published version is known, any other is an error with file, line and token."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mesh.documents import read_text
from mesh.yaml.problems import Severity
from tests.unit.mesh.published import Where, gateway_fields, holding, kubernetes_fields

GATEWAY = "gateway.networking.k8s.io/v1"
ALL = {
    "Service": ("v1", kubernetes_fields("service-v1")),
    "EndpointSlice": ("discovery.k8s.io/v1", kubernetes_fields("endpointslice-discovery-v1")),
    **{
        kind: (GATEWAY, gateway_fields(kind))
        for kind in ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "BackendTLSPolicy", "ReferenceGrant")
    },
}
NO_SUCH = "there is no such field"
OPEN = ("targetRef", "deprecatedTopology", "topology", "selector")
"""Mappings that have no fixed keys, or whose fields a sidecar has no use for."""


def told(kind: str, version: str, fields: dict[str, Any]) -> list[tuple[int, Severity, str]]:
    document = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, **fields}
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=False)
    return [(one.place.line, one.severity, one.message) for one in read_text("f.yaml", text).problems]


@pytest.mark.parametrize("kind", ALL)
def test_every_published_field_is_known(kind: str) -> None:
    version, fields = ALL[kind]
    assert len(fields) > 3
    unknown = [
        where
        for where in sorted(fields)
        if any(NO_SUCH in message for _, _, message in told(kind, version, holding(where[:-1], where[-1].rstrip("[]"))))
    ]
    assert unknown == []


def mappings(fields: set[Where]) -> list[Where]:
    """Places that have fields of their own."""
    return sorted({where[:-1] for where in fields} - {()})


@pytest.mark.parametrize(
    ("kind", "where"), [(kind, where) for kind, (_, fields) in ALL.items() for where in mappings(fields)]
)
def test_a_field_that_was_never_published_is_an_error(kind: str, where: Where) -> None:
    if any(name.rstrip("[]") in OPEN for name in where):
        return
    version, _ = ALL[kind]
    found = told(kind, version, holding(where, "xyzzy"))
    lines = yaml.safe_dump(
        {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, **holding(where, "xyzzy")},
        sort_keys=False,
    ).splitlines()
    line = next(number for number, one in enumerate(lines, 1) if "xyzzy" in one)
    assert [(at, severity) for at, severity, message in found if f"xyzzy: {NO_SUCH}" in message] == [
        (line, Severity.ERROR)
    ]


def test_the_top_of_a_document_has_no_other_fields_either() -> None:
    found = told("Service", "v1", {"spec": {"ports": [{"port": 80}]}, "sepc": {}})
    assert [severity for _, severity, _ in found] == [Severity.ERROR]
    assert "sepc: there is no such field; there are: apiVersion, kind, metadata, spec, status" in found[0][2]


def test_metadata_and_status_may_have_any_field() -> None:
    spec = {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}
    document = {"metadata": {"name": "x", "madeUp": 1}, "spec": spec, "status": {"madeUp": {"a": 1}}}
    assert told("Service", "v1", document) == []


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, "useDefaultGateways") for kind in ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute")]
)
def test_what_is_published_and_not_obeyed_is_named(kind: str, field: str) -> None:
    warnings = [one for one in told(kind, GATEWAY, {"spec": {field: "All"}}) if one[1] is Severity.WARNING]
    assert [(line, message) for line, _, message in warnings] == [(6, f"spec.{field} is not obeyed in this version")]
