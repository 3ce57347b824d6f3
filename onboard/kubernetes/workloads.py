"""Which kinds hold a pod template, and where in their documents it stands."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from onboard.text.nodes import Source, entry, is_mapping, is_sequence, scalar

TEMPLATES = {
    ("v1", "Pod"): (),
    ("v1", "ReplicationController"): ("spec", "template"),
    ("apps/v1", "Deployment"): ("spec", "template"),
    ("apps/v1", "StatefulSet"): ("spec", "template"),
    ("apps/v1", "DaemonSet"): ("spec", "template"),
    ("apps/v1", "ReplicaSet"): ("spec", "template"),
    ("batch/v1", "Job"): ("spec", "template"),
    ("batch/v1", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}
"""(apiVersion, kind) -> the keys that lead to what has a pod's `metadata` and `spec`."""
ENDING_KINDS = ("Job", "CronJob")
"""Their pods are to end by themselves."""


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """owner: the key whose value the template is; None for a Pod, which is its own template."""

    source: Source
    kind: str
    name: str
    owner: Any | None
    node: Any

    def __str__(self) -> str:
        return f"{self.source.file}:{self.node.start_mark.line + 1}: {self.kind} {self.name}"

    def part(self, key: str) -> tuple[Any, Any] | None:
        return entry(self.source, self.node, key)

    @property
    def spec(self) -> tuple[Any, Any]:
        """The key and the pod's spec. Raises ManifestError when it is missing."""
        found = self.part("spec")
        if found is None or not is_mapping(found[1]):
            raise self.source.refuse(self.node, f"{self.kind} {self.name}: the pod has no spec")
        return found

    def annotations(self) -> dict[str, Any]:
        """Name -> node of the value, of the annotations; labels are not among them."""
        return self._texts("annotations")

    def labels(self) -> dict[str, Any]:
        return self._texts("labels")

    def _texts(self, kind: str) -> dict[str, Any]:
        metadata = self.part("metadata")
        found = None if metadata is None or not is_mapping(metadata[1]) else entry(self.source, metadata[1], kind)
        if found is None or not is_mapping(found[1]):
            return {}
        names = [(scalar(key), value) for key, value in found[1].value]
        return {name: value for name, value in names if name is not None}


def pod_templates(source: Source, root: Any) -> Iterator[PodTemplate]:
    """Of a document, or of each item of a List. Other kinds have none. Raises ManifestError."""
    if not is_mapping(root):
        raise source.refuse(root, "a Kubernetes object is a mapping with apiVersion and kind")
    kind = _text(source, root, "kind")
    if kind is None:
        raise source.refuse(root, "a Kubernetes object has a kind, and none stands here")
    version = _text(source, root, "apiVersion")
    items = entry(source, root, "items") if kind.endswith("List") else None
    if items is not None and is_sequence(items[1]):
        for item in items[1].value:
            yield from pod_templates(source, item)
        return
    path = TEMPLATES.get((version or "", kind))
    if path is None:
        return
    owner, node = None, root
    for key in path:
        found = entry(source, node, key)
        if found is None:
            raise source.refuse(node, f"{kind}: {'.'.join(path)} is missing")
        owner, node = found
    if not is_mapping(node):
        raise source.refuse(node, f"{kind}: {'.'.join(path)} is no mapping")
    yield PodTemplate(source, kind, _name(source, root), owner, node)


def _name(source: Source, root: Any) -> str:
    metadata = entry(source, root, "metadata")
    if metadata is None or not is_mapping(metadata[1]):
        return "-"
    return _text(source, metadata[1], "name") or _text(source, metadata[1], "generateName") or "-"


def _text(source: Source, mapping: Any, key: str) -> str | None:
    found = entry(source, mapping, key)
    return None if found is None else scalar(found[1])
