"""The nodes of YAML documents with their positions in the text. ruamel.yaml parses; no values are built."""

import io
from dataclasses import dataclass
from typing import Any

from onboard.text.problems import ManifestError

MAX_BYTES = 16 << 20
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Source:
    """A file's name, for messages, and its whole text."""

    file: str
    text: str

    def refuse(self, node: Any, message: str) -> ManifestError:
        return ManifestError(self.file, node.start_mark.line + 1, message)


def documents(source: Source) -> list[Any]:
    """The root node of each document that is not empty. Raises ManifestError with the line of a mistake."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(source.text) > MAX_BYTES:
        raise ManifestError(source.file, 0, f"larger than {MAX_BYTES >> 20} MiB")
    try:
        roots = [
            root
            for root in YAML(pure=True).compose_all(io.StringIO(source.text))
            if root is not None and not is_null(root)
        ]
    except MarkedYAMLError as error:
        line = 0 if error.problem_mark is None else error.problem_mark.line + 1
        raise ManifestError(source.file, line, f"no valid YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise ManifestError(source.file, 0, f"no valid YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise ManifestError(source.file, 0, f"nested deeper than {_DEEPEST} levels") from None
    for root in roots:
        _check_depth(source, root)
    return roots


def _check_depth(source: Source, root: Any) -> None:
    """A document that is deep or contains itself would end the walks over it by exhausting the stack."""
    level = [root]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in children(node)]
        # An alias makes one node the child of many; a document of aliases of aliases has endless many paths.
        level = list({id(node): node for node in level}.values())
        if not level:
            return
    raise source.refuse(root, f"nested deeper than {_DEEPEST} levels")


def children(node: Any) -> list[Any]:
    if is_mapping(node):
        return [child for entry in node.value for child in entry]
    return list(node.value) if is_sequence(node) else []


def is_mapping(node: Any) -> bool:
    return str(node.id) == "mapping"


def is_sequence(node: Any) -> bool:
    return str(node.id) == "sequence"


def is_null(node: Any) -> bool:
    return bool(node.id == "scalar" and node.tag == "tag:yaml.org,2002:null")


def scalar(node: Any) -> str | None:
    """The text of a scalar; None for anything else and for null."""
    return None if node.id != "scalar" or is_null(node) else str(node.value)


def entry(source: Source, mapping: Any, key: str) -> tuple[Any, Any] | None:
    """The key's node and the value's, as they stand in this mapping; None: the key is not there.

    Raises ManifestError where the text of the value stands elsewhere (an alias, a merge key) or the key stands twice:
    an edit there would change, or be hidden by, something that the reader does not see.
    """
    if not is_mapping(mapping):
        raise source.refuse(mapping, f"a mapping with {key!r} is expected here")
    found = [(name, value) for name, value in mapping.value if name.id == "scalar" and name.value == key]
    if len(found) > 1:
        raise source.refuse(found[1][0], f"{key!r} stands twice in one mapping")
    if not found:
        _refuse_merged(source, mapping, key)
        return None
    name, value = found[0]
    if value.start_mark.index < name.end_mark.index:
        raise source.refuse(name, f"{key!r} is an alias: write its value out here")
    if value.anchor is not None:
        raise source.refuse(name, f"{key!r} has an anchor, so a change here would change other places: write them out")
    return name, value


def _refuse_merged(source: Source, mapping: Any, key: str) -> None:
    for name, value in mapping.value:
        if name.id == "scalar" and name.value == "<<":
            merged = list(value.value) if is_sequence(value) else [value]
            for one in merged:
                if is_mapping(one) and any(each.id == "scalar" and each.value == key for each, _ in one.value):
                    raise source.refuse(name, f"{key!r} comes from a merge key: write its value out here")


def text_end(source: Source, node: Any) -> int:
    """Index behind the last character of the node's own text, without comments and blank lines that follow it."""
    last = node
    while not (last.id == "scalar" or last.flow_style or not last.value):
        tail = last.value[-1]
        if is_sequence(last):
            last = tail
            continue
        key, value = tail
        # The text of an alias stands elsewhere, and a null may have none: then the key's line is the last one.
        last = value if value.start_mark.index > key.end_mark.index else key
    index = int(last.end_mark.index)
    # A block scalar's mark lies behind the line breaks that end it.
    return len(source.text[:index].rstrip())
