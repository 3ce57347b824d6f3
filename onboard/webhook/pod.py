"""A pod as the API server sends it -> a JSON patch that puts init container and proxy into it. Pure.

It says the same as onboard/kubernetes/inject.py, which changes text; a test holds both to the same pods. Here no text
is parsed, so a pod of any size costs milliseconds.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from intercept.intent.from_flags import Raw
from intercept.intent.intent import Intent
from onboard.annotations import INJECTED, concerns_us, intent_of, refusal
from onboard.arguments import check
from onboard.kubernetes import containers
from onboard.kubernetes.containers import INIT, OTHER_MESHES, PROXY, Options, Sidecar
from onboard.kubernetes.uninject import record
from onboard.text.nodes import Source
from onboard.text.problems import ManifestError

LONGEST_ANNOTATION = 16 << 10
Patch = list[dict[str, Any]]


class Outcome(NamedTuple):
    patch: Patch
    """Empty: the pod stays as it is."""
    notes: tuple[str, ...]
    """Why it was left alone, or what deserves a look."""


def change(pod: Mapping[str, Any], flags: Mapping[str, Raw], options: Options) -> Outcome:
    """flags: init's, of the webhook's command line; they win over annotations. Raises ManifestError, BadInput."""
    metadata, spec = _mapping(pod, "metadata"), _mapping(pod, "spec")
    annotations = _texts(metadata, "annotations")
    if INJECTED in annotations:
        return Outcome([], ())
    source = Source(_name(metadata), "")
    asked = refusal(source, {**_nodes(_texts(metadata, "labels")), **_nodes(annotations)})
    if asked is not None:
        return Outcome([], (f"left as it is: {asked} says so",))
    if spec.get("hostNetwork") is True:
        return Outcome([], ("left as it is: hostNetwork is true, so capture would take the whole node's traffic",))
    names = {str(one.get("name")) for one in _containers(spec)}
    other = next((name for name in OTHER_MESHES if name in names), None)
    if other is not None:
        return Outcome([], (f"left as it is: {other} captures the same traffic already",))
    taken = next((name for name in (INIT, PROXY) if name in names), None)
    if taken is not None:
        raise ManifestError(source.file, 0, f"a container {taken} stands here, and tidegate did not make it")
    intent = intent_of(source, _nodes(annotations), flags)
    check(intent)
    return Outcome(_patch(source, metadata, spec, intent, options), tuple(_warnings(spec, intent)))


def _patch(
    source: Source, metadata: Mapping[str, Any], spec: Mapping[str, Any], intent: Intent, options: Options
) -> Patch:
    init, proxy = containers.init_container(intent, options), containers.proxy_container(intent, options)
    lists: dict[str, list[Any]] = {"initContainers": [init, proxy]}
    if options.sidecar is Sidecar.CONTAINER:
        lists = {"initContainers": [init], "containers": [proxy]}
    volumes = containers.volumes(intent, options)
    if volumes:
        lists["volumes"] = volumes
        ours = {str(one["name"]) for one in volumes}
        for one in _items(spec, "volumes"):
            if one.get("name") in ours:
                raise ManifestError(source.file, 0, f"a volume {one['name']} stands here, and tidegate did not make it")
    made = [key for key in lists if not spec.get(key)]
    patch: Patch = []
    if metadata.get("annotations"):
        patch.append(_add(f"/metadata/annotations/{_pointer(INJECTED)}", record(made)))
    else:
        patch.append(_add("/metadata/annotations", {INJECTED: record(["annotations", *made])}))
    for key, items in lists.items():
        if spec.get(key):
            patch += [_add(f"/spec/{key}/{index}", item) for index, item in enumerate(items)]
        else:
            patch.append(_add(f"/spec/{key}", items))
    return patch


def _add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def _pointer(name: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _mapping(owner: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = owner.get(key)
    if not isinstance(found, dict):
        raise ManifestError("pod", 0, f"{key} is missing or no mapping")
    return found


def _texts(metadata: Mapping[str, Any], key: str) -> dict[str, str]:
    found = metadata.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ManifestError(_name(metadata), 0, f"{key}: strings are expected here")
    return found


def _nodes(texts: Mapping[str, str]) -> dict[str, Any]:
    """As the annotations of a file come: nodes with a place. Those of other tools are left out."""
    from ruamel.yaml.error import StringMark
    from ruamel.yaml.nodes import ScalarNode

    mark = StringMark("pod", 0, 0, 0, "", 0)
    return {
        name: ScalarNode("tag:yaml.org,2002:str", _bounded(name, text), start_mark=mark, end_mark=mark)
        for name, text in texts.items()
        if concerns_us(name)
    }


def _bounded(name: str, text: str) -> str:
    if len(text) > LONGEST_ANNOTATION:
        raise ManifestError("pod", 0, f"{name}: longer than {LONGEST_ANNOTATION >> 10} KiB")
    return text


def _name(metadata: Mapping[str, Any]) -> str:
    name = metadata.get("name") or metadata.get("generateName") or "-"
    return f"pod {str(name)[:253]}"


def _items(spec: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = spec.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ManifestError("pod", 0, f"spec.{key} is no list of mappings")
    return found


def _containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from _items(spec, "initContainers")
    yield from _items(spec, "containers")


def _warnings(spec: Mapping[str, Any], intent: Intent) -> Iterator[str]:
    ports = intent.listeners
    own = (ports.outbound, ports.inbound, ports.dns, ports.telemetry)
    for one in _containers(spec):
        context = one.get("securityContext")
        user = context.get("runAsUser") if isinstance(context, dict) else None
        if user in intent.exempt.uids:
            yield f"container {one.get('name')} runs as user {user}, whose traffic is never captured"
        for port in _items(one, "ports"):
            if port.get("containerPort") in own:
                yield f"container {one.get('name')} has port {port['containerPort']}, which is tidegate's own"
