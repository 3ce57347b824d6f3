"""Texts -> the objects of a run: lists unwrapped, unknown kinds named and passed over, duplicates refused."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from sys import intern
from typing import Any, TypeVar

from mesh.kinds import capture, core, grpc, http, meta, routes, tls, traffic_policy
from mesh.yaml.nodes import Mapping, Node, Scalar, Sequence, Stream
from mesh.yaml.problems import Place, Problems, shown
from mesh.yaml.shapes import Shape, shaped
from mesh.yaml.sink import Sink
from mesh.yaml.trees import documents

_GATEWAY_ROUTES: dict[str, dict[str, type[Shape]]] = {
    "HTTPRoute": dict.fromkeys(("v1", "v1beta1", "v1alpha2"), http.HttpRoute),
    "GRPCRoute": dict.fromkeys(("v1", "v1alpha2"), grpc.GrpcRoute),
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
    (meta.CORE, "Pod"): {"v1": core.Pod},
    ("discovery.k8s.io", "EndpointSlice"): dict.fromkeys(("v1", "v1beta1"), core.EndpointSlice),
    **{(meta.GATEWAY, kind): versions for kind, versions in _GATEWAY_ROUTES.items()},
    (meta.OWN, "Capture"): {"v1alpha1": capture.Capture},
    (meta.OWN, "TrafficPolicy"): {"v1alpha1": traffic_policy.TrafficPolicy},
}
"""(group, kind) -> version -> shape: everything that is read."""

S = TypeVar("S", bound=Shape)
DocumentKey = tuple[str, str, str, str]
"""Group, kind, namespace and name."""


@dataclass(frozen=True, slots=True)
class Document:
    """One object, and where it stands. `object` is an instance of the kind's shape."""

    file: str
    line: int
    group: str
    kind: str
    object: Any

    @property
    def key(self) -> DocumentKey:
        """No two documents of a run have the same."""
        metadata = self.object.metadata
        return self.group, self.kind, metadata.namespace, metadata.name

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


class FileDocuments:
    """What one file holds. It never changes: a file that is read again is another object."""

    def __init__(self, file: str, documents: tuple[Document, ...], problems: Problems, skipped: int = 0) -> None:
        """problems: what is wrong in the file. skipped: how many documents of other kinds there are."""
        self.file = file
        self.documents = documents
        self.problems = problems
        self.skipped = skipped

    @cached_property
    def keys(self) -> frozenset[DocumentKey]:
        return frozenset(document.key for document in self.documents)

    @cached_property
    def by_shape(self) -> dict[type[Shape], list[Document]]:
        found: dict[type[Shape], list[Document]] = {}
        for document in self.documents:
            found.setdefault(type(document.object), []).append(document)
        return found


@dataclass(frozen=True, slots=True)
class Documents:
    """Everything that was read in one run, in reading order."""

    files: list[FileDocuments] = field(default_factory=list)

    @property
    def all(self) -> list[Document]:
        return [document for file in self.files for document in file.documents]

    @property
    def skipped(self) -> int:
        return sum(file.skipped for file in self.files)

    def names(self) -> list[str]:
        return [file.file for file in self.files]

    def of(self, shape: type[S]) -> Iterator[tuple[Document, S]]:
        """The documents of exactly this shape."""
        for file in self.files:
            for document in file.by_shape.get(shape, ()):
                yield document, document.object


def read_text(file: str, text: str) -> FileDocuments:
    """The documents of one text. What is wrong is noted in its problems; every document that is right is there."""
    problems = Problems()
    gatherer = _Gatherer(problems)
    for tree in documents(file, text, problems):
        gatherer.take(file, tree)
    return FileDocuments(file, tuple(gatherer.found), problems, gatherer.skipped)


def together(files: Iterable[FileDocuments], problems: Problems) -> Documents:
    """The documents of several files, and all their problems. An object that is there twice is an error; the one that
    was read first is kept."""
    found = list(files)
    for one in found:
        problems.extend(one.problems)
    distinct = frozenset[DocumentKey]().union(*(one.keys for one in found))
    if len(distinct) < sum(len(one.documents) for one in found):
        places: dict[DocumentKey, Document] = {}
        found = [_without_twice(one, places, problems) for one in found]
    return Documents(found)


def _without_twice(file: FileDocuments, places: dict[DocumentKey, Document], problems: Problems) -> FileDocuments:
    kept = []
    for document in file.documents:
        first = places.setdefault(document.key, document)
        if first is document:
            kept.append(document)
        else:
            problems.error(document.place, f"{document} is here twice: it stands in {first.place} already")
    return FileDocuments(file.file, tuple(kept), file.problems, file.skipped)


class _Gatherer:
    def __init__(self, problems: Problems) -> None:
        self.found: list[Document] = []
        self.skipped = 0
        self._problems = problems

    def take(self, file: str, tree: Node) -> None:
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
        """kind: of the items. The API server leaves apiVersion and kind out of the items of such a list."""
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
            self.skipped += 1
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
        self.found.append(Document(sink.file, tree.line, intern(group), intern(kind), made))

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
