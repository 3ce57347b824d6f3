"""Changes at run time to what TrafficPolicies say of a Service: fields that take the place of those in documents."""

from collections.abc import Mapping as Map
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import msgspec

from mesh.kinds.meta import OwnTargetRef
from mesh.kinds.traffic_policy import TrafficPolicySpec
from mesh.yaml.nodes import Mapping, Node, Scalar, Sequence, Stream
from mesh.yaml.problems import Problems
from mesh.yaml.shapes import shaped
from mesh.yaml.sink import Sink
from mesh.yaml.trees import documents
from proxy.core.policy.cluster import ServiceName

_FIXED = ("targetRefs",)


@dataclass(frozen=True, slots=True)
class Patch:
    """fields: attributes of a TrafficPolicySpec, and their values. One that is removed has its default."""

    fields: tuple[tuple[str, object], ...]
    names: tuple[str, ...]
    """Of the fields, as documents have them."""


Patches = Map[ServiceName, Patch]
NO_PATCHES: Patches = MappingProxyType({})


def read_patch(service: ServiceName, text: str) -> Patch:
    """text: YAML or JSON of a spec's fields; an empty one is removed. Raises ConfigError, whose file is `patch`."""
    problems = Problems()
    sink = Sink("patch", problems)
    tree = _only(list(documents("patch", text, problems)), sink)
    problems.refuse_if_any()
    for name in _FIXED:
        if name in tree.fields:
            sink.error(tree.fields[name][0], f"{name}: is not valid here: the patch is for Service {service}")
    left = {key: pair for key, pair in tree.fields.items() if not _is_empty(pair[1])}
    target = Mapping(tree.line, {"name": (tree.line, Scalar(tree.line, service.name, service.name))})
    left["targetRefs"] = (tree.line, Sequence(tree.line, [target]))
    known = _attributes()
    for key in tree.fields.keys() - left.keys() - known.keys():
        sink.error(tree.fields[key][0], f"{key[:80]}: there is no such field; there are: {', '.join(sorted(known))}")
    spec = shaped(Mapping(tree.line, left), TrafficPolicySpec, sink)
    problems.refuse_if_any()
    if spec is None:  # what is wrong has been noted, and raised above
        raise AssertionError("a patch without a spec")
    names = tuple(key for key in tree.fields if key in known)
    return Patch(tuple((known[name], getattr(spec, known[name])) for name in names), names)


def patched(spec: TrafficPolicySpec, patch: Patch) -> TrafficPolicySpec:
    """Each field of the patch replaces the spec's whole."""
    changed: TrafficPolicySpec = msgspec.structs.replace(spec, **dict(patch.fields))
    return changed


def unpatched(service: ServiceName) -> TrafficPolicySpec:
    """Of a Service that no document has a policy for."""
    return TrafficPolicySpec(target_refs=(OwnTargetRef(name=service.name),))


def _only(trees: list[Node], sink: Sink) -> Mapping:
    tree = trees[0] if trees else Mapping(1, {})
    if isinstance(tree, Mapping) and len(trees) == 1 and not isinstance(tree.get("items"), Stream):
        return tree
    sink.error(tree.line, "a patch is one mapping of TrafficPolicy fields, such as {shedding: {dropPercent: 5}}")
    return Mapping(1, {})


def _is_empty(node: Node) -> bool:
    match node:
        case Scalar():
            return node.value is None or node.value == ""
        case Mapping():
            return not node.fields
        case Sequence():
            return not node.items
        case _:
            return False


@cache
def _attributes() -> dict[str, str]:
    return {
        one.encode_name: one.name
        for one in msgspec.structs.fields(TrafficPolicySpec)
        if one.name != "line" and one.encode_name not in _FIXED
    }
