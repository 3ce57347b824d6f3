"""Texts -> the objects of a run: lists unwrapped, unknown kinds named and passed over, duplicates refused."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mesh.kinds import capture, core, http, meta, routes, tls, traffic_policy
from mesh.yaml import files
from mesh.yaml.nodes import Mapping, Node, Scalar, Sequence, Stream
from mesh.yaml.problems import Place, Problems, shown
from mesh.yaml.shapes import Shape, shaped
from mesh.yaml.sink import Sink
from mesh.yaml.trees import documents

_GATEWAY_ROUTES: dict[str, dict[str, type[Shape]]] = {
    "HTTPRoute": dict.fromkeys(("v1", "v1beta1", "v1alpha2"), http.HttpRoute),
    "GRPCRoute": dict.fromkeys(("v1", "v1alpha2"), http.GrpcRoute),
    "TCPRoute": dict.fromkeys(("v1", "v1alpha2"), routes.TcpRoute),
    "TLSRoute": {"v1": routes.TlsRouteV1, "v1alpha3": routes.TlsRoute, "v1alpha2": routes.TlsRoute},
    "BackendTLSPolicy": {
        "v1": tls.BackendTlsPolicy,
        "v1alpha3": tls.BackendTlsPolicy,
        "v1alpha2": tls.OldBackendTlsPolicy,
    },
    "ReferenceGrant": dict.fromkeys(("v1", "v1beta1", "v1alpha2"), routes.ReferenceGrant),
}
KINDS: dict[tuple[str, str], dict[str, type[Shape]]] = {
    (meta.CORE, "Service"): {"v1": core.Service},
    ("discovery.k8s.io", "EndpointSlice"): dict.fromkeys(("v1", "v1beta1"), core.EndpointSlice),
    **{(meta.GATEWAY, kind): versions for kind, versions in _GATEWAY_ROUTES.items()},
    (meta.OWN, "Capture"): {"v1alpha1": capture.Capture},
    (meta.OWN, "TrafficPolicy"): {"v1alpha1": traffic_policy.TrafficPolicy},
}
"""(group, kind) -> version -> shape: everything that is read."""

S = TypeVar("S", bound=Shape)


@dataclass(frozen=True, slots=True)
class Document:
    """One object, and where it stands. `object` is an instance of the kind's shape."""

    file: str
    line: int
    kind: str
    object: Any

    @property
    def namespace(self) -> str:
        return str(self.object.metadata.namespace)

    @property
    def name(self) -> str:
        return str(self.object.metadata.name)

    @property
    def place(self) -> Place:
        return Place(self.file, self.line)

    def at(self, line: int) -> Place:
        return Place(self.file, line)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(slots=True)
class Documents:
    """Everything that was read in one run, in reading order."""

    all: list[Document] = field(default_factory=list)
    skipped: int = 0

    def of(self, shape: type[S]) -> Iterator[tuple[Document, S]]:
        """Those of exactly this shape."""
        for document in self.all:
            if type(document.object) is shape:
                yield document, document.object


def read(paths: Iterable[str], problems: Problems) -> Documents:
    """Read files and folders. What is wrong is noted in problems; what is right is returned all the same, so that one
    run can tell everything."""
    gatherer = _Gatherer(problems)
    room = files.MAX_TOTAL
    for path in files.expand(paths, problems):
        text = files.read(path, room, problems)
        if text is not None:
            room -= len(text)
            gatherer.take(path, text)
    return gatherer.found


def read_text(file: str, text: str, problems: Problems) -> Documents:
    gatherer = _Gatherer(problems)
    gatherer.take(Path(file), text)
    return gatherer.found


class _Gatherer:
    def __init__(self, problems: Problems) -> None:
        self.found = Documents()
        self._problems = problems
        self._places: dict[tuple[str, str, str, str], Place] = {}

    def take(self, path: Path, text: str) -> None:
        file = str(path)
        for tree in documents(file, text, self._problems):
            self._tree(file, tree, nested=False)

    def _tree(self, file: str, tree: Node, *, nested: bool) -> None:
        sink = Sink(file, self._problems)
        if not isinstance(tree, Mapping):
            sink.invalid(tree, "the document", "a mapping with apiVersion and kind")
            return
        version, kind = self._text(sink, tree, "apiVersion"), self._text(sink, tree, "kind")
        if version is None or kind is None:
            return
        group, _, number = version.rpartition("/")
        if kind == "List" and group == meta.CORE:
            self._list(sink, tree, nested=nested)
            return
        if kind.endswith("List") and (group, kind.removesuffix("List")) in KINDS:
            self._list(sink, tree, nested=nested, version=version, kind=kind.removesuffix("List"))
            return
        self._object(sink, tree, group, number, kind)

    def _list(self, sink: Sink, tree: Mapping, *, nested: bool, version: str = "", kind: str = "") -> None:
        """kind: that of the items, which may then leave apiVersion and kind out, as the API server does."""
        items = tree.get("items")
        if nested:
            sink.error(tree.line, "kind: a List inside a List is not allowed")
        elif isinstance(items, Sequence | Stream):
            for item in items.items:
                if kind and isinstance(item, Mapping):
                    for key, value in (("apiVersion", version), ("kind", kind)):
                        item.fields.setdefault(key, (item.line, Scalar(item.line, value, value)))
                self._tree(sink.file, item, nested=True)
        elif items is not None and not (isinstance(items, Scalar) and items.value is None):
            sink.invalid(items, "items", "a list of documents")

    def _text(self, sink: Sink, tree: Mapping, key: str) -> str | None:
        node = tree.get(key)
        if node is None:
            sink.error(tree.line, f"{key}: is missing")
        elif isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
            return node.value
        else:
            sink.invalid(node, key, "a text such as " + ("v1" if key == "apiVersion" else "Service"))
        return None

    def _object(self, sink: Sink, tree: Mapping, group: str, number: str, kind: str) -> None:
        place = Place(sink.file, tree.line)
        version = f"{group}/{number}" if group else number
        versions = KINDS.get((group, kind))
        if versions is None:
            self.found.skipped += 1
            self._unknown(place, tree, version, kind)
            return
        shape = versions.get(number)
        if shape is None:
            allowed = ", ".join(f"{group}/{one}" if group else one for one in versions)
            line = tree.fields["apiVersion"][0]
            self._problems.invalid(Place(sink.file, line), "apiVersion", version, f"for {kind} one of {allowed}")
            return
        made = shaped(tree, shape, sink)
        if made is None:
            return
        document = Document(sink.file, tree.line, kind, made)
        key = (group, kind, document.namespace, document.name)
        first = self._places.setdefault(key, place)
        if first is not place:
            self._problems.error(place, f"{document} is here twice: it stands in {first} already")
        else:
            self.found.all.append(document)

    def _unknown(self, place: Place, tree: Mapping, version: str, kind: str) -> None:
        near = [(group, known) for group, known in KINDS if known.lower() == kind.lower()]
        hint = ""
        if near:
            group, known = near[0]
            number = next(iter(KINDS[near[0]]))
            hint = f" (did you mean {known} of {group + '/' if group else ''}{number}?)"
        named = tree.get("metadata")
        name = named.get("name") if isinstance(named, Mapping) else None
        which = f" {name.text}" if isinstance(name, Scalar) else ""
        self._problems.warning(
            place, f"kind: {shown(kind)} of {shown(version)}{which} is not a kind we know and is skipped{hint}"
        )
