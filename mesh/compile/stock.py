"""The documents that were compiled last, sorted by kind, and how the documents of a new reading differ from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mesh.compile.catalogue import Catalogue, name_of
from mesh.documents import Document, DocumentKey, Documents, FileDocuments
from mesh.kinds.capture import Capture
from mesh.kinds.core import EndpointSlice, Pod, Service
from mesh.yaml.problems import Problems
from proxy.core.policy.policy import ServiceName

Owner = ServiceName | None


@dataclass(slots=True)
class Change:
    services: set[ServiceName] = field(default_factory=set)
    """Service documents that have come, gone or changed."""
    sliced: set[Owner] = field(default_factory=set)
    """Services of which an EndpointSlice has come, gone or changed; None: the slice names no Service."""
    pods: set[str] = field(default_factory=set)
    """Namespaces of which a Pod has come, gone or changed."""
    others: bool = False
    """Whether any policy, route or grant has come, gone or changed."""


class Stock:
    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self._files: dict[int, FileDocuments] = {}
        self._slices: dict[Owner, dict[DocumentKey, Document]] = {}
        self._others: dict[DocumentKey, Document] = {}
        self.pods: dict[tuple[str, str], Mapping[str, str]] = {}
        """Labels, by namespace and name."""

    def slices(self, service: Owner) -> Sequence[Document]:
        return list(self._slices.get(service, {}).values())

    def others(self) -> Documents:
        return Documents([FileDocuments("", tuple(self._others.values()), Problems())])

    def take(self, documents: Documents) -> Change:
        """Replace the former documents by these. A file that is the same object has not changed."""
        files = {id(one): one for one in documents.files}
        going = _by_key(one for number, one in self._files.items() if number not in files)
        coming = _by_key(one for number, one in files.items() if number not in self._files)
        self._files = files
        change = Change()
        same = {key for key, document in coming.items() if going.get(key) == document}
        for key, document in going.items():
            if key not in same:
                self._drop(key, document, change)
        for key, document in coming.items():
            if key not in same:
                self._put(key, document, change)
        return change

    def _put(self, key: DocumentKey, document: Document, change: Change) -> None:
        match document.object:
            case Service():
                self.catalogue.documents[name_of(document)] = document
                change.services.add(name_of(document))
            case EndpointSlice():
                self._slices.setdefault(_owner(document), {})[key] = document
                change.sliced.add(_owner(document))
            case Pod():
                self.pods[document.namespace, document.name] = document.object.metadata.labels
                change.pods.add(document.namespace)
            case Capture():
                pass
            case _:
                self._others[key] = document
                change.others = True

    def _drop(self, key: DocumentKey, document: Document, change: Change) -> None:
        match document.object:
            case Service():
                del self.catalogue.documents[name_of(document)]
                change.services.add(name_of(document))
            case EndpointSlice():
                owner = _owner(document)
                del self._slices[owner][key]
                if not self._slices[owner]:
                    del self._slices[owner]
                change.sliced.add(owner)
            case Pod():
                del self.pods[document.namespace, document.name]
                change.pods.add(document.namespace)
            case Capture():
                pass
            case _:
                del self._others[key]
                change.others = True


def _owner(document: Document) -> Owner:
    label = document.object.service
    return None if label is None else ServiceName(document.namespace, label)


def _by_key(files: Iterable[FileDocuments]) -> dict[DocumentKey, Document]:
    return {one.key: one for file in files for one in file.documents}
