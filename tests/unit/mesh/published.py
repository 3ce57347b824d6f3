"""The fields that published kinds have, as others than our own code say: Kubernetes' JSON schemas, which come with
kubernetes-validate, and a list of Gateway API's types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

Where = tuple[str, ...]
"""A field's path; `[]` behind a name: the items of the list."""
_SCHEMAS = files("kubernetes_validate") / "kubernetes-json-schema"
GATEWAY: dict[str, dict[str, str | None]] = yaml.safe_load(
    (Path(__file__).parent / "golden" / "gateway-fields.txt").read_text()
)
_LISTS = {
    "parentRefs", "rules", "backendRefs", "filters", "matches", "headers", "queryParams", "set", "add", "targetRefs",
    "caCertificateRefs", "subjectAltNames", "from", "to",
}  # fmt: skip
_VERSIONS = tuple(f"v1.{minor}.0" for minor in range(25, 38))


def kubernetes_fields(kind: str) -> set[Where]:
    """Of all Kubernetes versions that are known, without metadata and status. kind: a schema's name: service-v1."""
    found: set[Where] = set()
    for version in _VERSIONS:
        schema = _load(version, f"{kind}.json")
        for name in schema["properties"].keys() - {"metadata", "status", "apiVersion", "kind"}:
            found |= set(_below(version, schema["properties"][name], (name,)))
    return found


def _below(version: str, schema: dict[str, Any], here: Where) -> Iterator[Where]:
    yield here
    while "$ref" in schema:
        schema = _load(version, "_definitions.json")["$defs"][schema["$ref"].rpartition("/")[2]]
    if "items" in schema:
        yield from _below(version, schema["items"], (*here[:-1], f"{here[-1]}[]"))
    for name, one in schema.get("properties", {}).items():
        yield from _below(version, one, (*here, name))


@cache
def _load(version: str, name: str) -> Any:
    return json.loads((_SCHEMAS / f"{version}-local-strict" / name).read_text())


def gateway_fields(kind: str) -> set[Where]:
    return set(_of_type(kind, ("spec",)))


def _of_type(name: str, here: Where) -> Iterator[Where]:
    yield here
    for field, kind in GATEWAY[name].items():
        if kind is None:
            yield (*here, field)
        else:
            yield from _of_type(kind, (*here, f"{field}[]" if field in _LISTS else field))


def holding(where: Where, last: str) -> dict[str, Any]:
    """A document's fields in which the mapping at `where` has a field `last`, left empty."""
    value: Any = {last: None}
    for name in reversed(where):
        value = {name[:-2]: [value]} if name.endswith("[]") else {name: value}
    return dict(value)
