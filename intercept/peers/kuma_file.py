"""Kuma's transparent-proxy configuration (YAML, of which JSON is a part) -> settings. Messages name file and line."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from intercept.errors import BadInput, Unsupported
from intercept.peers.goflags import Given, Values
from intercept.peers.kuma_names import NAMES

if TYPE_CHECKING:
    import yaml

_BY_KEY = {one.key: one for one in NAMES}
_NULL = "tag:yaml.org,2002:null"


def values_in(text: str, source: str) -> Values:
    """`source`: what the text is called in messages. Raises BadInput, also for a key that Kuma doesn't have."""
    root = _parse(text, source)
    values: Values = {}
    for path, given in _settings(root, "", source) if root is not None else ():
        values.setdefault(_BY_KEY[path].name, []).append(given)
    return values


def _parse(text: str, source: str) -> "yaml.Node | None":
    try:
        import yaml
    except ImportError:
        raise Unsupported(f"{source} cannot be read: the Python package PyYAML is missing") from None
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{source}:{mark.line + 1}" if mark is not None else source
        problem = getattr(error, "problem", None) or type(error).__name__
        raise BadInput(place, _line(text, mark), f"YAML or JSON ({problem})") from None
    except RecursionError:
        raise BadInput(source, text[:20], "YAML or JSON that is not nested hundreds of levels deep") from None


def _line(text: str, mark: "yaml.Mark | None") -> str:
    lines = text.splitlines()
    return lines[mark.line].strip() if mark is not None and mark.line < len(lines) else ""


def _settings(node: "yaml.Node", path: str, source: str) -> Iterator[tuple[str, Given]]:
    import yaml

    where = f"{source}:{node.start_mark.line + 1}"
    if node.tag == _NULL:
        return
    if not isinstance(node, yaml.MappingNode):
        raise BadInput(where, path or _shown(node), "a mapping of Kuma's transparent-proxy settings")
    for key_node, value in node.value:
        key = _shown(key_node)
        inner = f"{path}.{key}" if path else key
        place = f"{source}:{key_node.start_mark.line + 1}"
        if inner in _BY_KEY:
            yield from ((inner, Given(f"{place}: {inner}", text)) for text in _texts(value, inner, place))
        elif any(known.startswith(f"{inner}.") for known in _BY_KEY):
            yield from _settings(value, inner, source)
        else:
            raise BadInput(place, inner, "a key of Kuma's transparent-proxy configuration")


def _texts(node: "yaml.Node", path: str, place: str) -> Iterator[str]:
    import yaml

    if node.tag == _NULL:
        return
    if isinstance(node, yaml.ScalarNode):
        yield str(node.value)
    elif isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
        yield from (str(item.value) for item in node.value)
    elif _BY_KEY[path].ignored:
        yield "…"
    else:
        raise BadInput(place, path, "one value, or a list of them")


def _shown(node: "yaml.Node") -> str:
    import yaml

    return str(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
