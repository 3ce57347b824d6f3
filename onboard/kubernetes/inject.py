"""Putting the proxy and its init container into the pods of a file of manifests."""

from collections.abc import Iterator, Mapping
from typing import Any

from intercept.intent.from_flags import Raw
from intercept.intent.intent import Intent
from onboard.annotations import INJECTED, intent_of, refusal
from onboard.arguments import check
from onboard.changed import Changed
from onboard.kubernetes import containers
from onboard.kubernetes.containers import INIT, OTHER_MESHES, PROXY, Options, Sidecar
from onboard.kubernetes.uninject import record, removals
from onboard.kubernetes.workloads import ENDING_KINDS, PodTemplate, pod_templates
from onboard.text.edits import Edit, apply
from onboard.text.insert import new_entry, new_items
from onboard.text.nodes import Source, documents, entry, is_mapping, is_null, is_sequence, scalar
from onboard.text.render import Value


def inject(source: Source, flags: Mapping[str, Raw], options: Options) -> Changed:
    """Every pod of the file. One that was injected before is injected anew. Raises ManifestError, BadInput."""
    clean = uninject(source).text
    source = Source(source.file, clean)
    edits: list[Edit] = []
    pods: list[str] = []
    notes: list[str] = []
    for root in documents(source):
        for pod in pod_templates(source, root):
            reason = _left_alone(pod)
            if reason is not None:
                notes.append(f"{pod} is left as it is: {reason}")
                continue
            intent = intent_of(source, pod.annotations(), flags)
            edits += _edits(pod, intent, options)
            notes += [f"{pod}: {note}" for note in _warnings(pod, intent)]
            pods.append(f"{pod.kind} {pod.name}")
    return Changed(apply(clean, edits), tuple(pods), tuple(notes))


def uninject(source: Source) -> Changed:
    """The file as it was before `inject`. Raises ManifestError."""
    edits: list[Edit] = []
    pods: list[str] = []
    for root in documents(source):
        for pod in pod_templates(source, root):
            removed = list(removals(pod))
            if removed:
                edits += removed
                pods.append(f"{pod.kind} {pod.name}")
    return Changed(apply(source.text, edits), tuple(pods), ())


def _left_alone(pod: PodTemplate) -> str | None:
    asked = refusal(pod.source, {**pod.labels(), **pod.annotations()})
    if asked is not None:
        return f"{asked} says so"
    host = entry(pod.source, pod.spec[1], "hostNetwork")
    if host is not None and scalar(host[1]) == "true":
        return "hostNetwork is true, so capture would take the whole node's traffic"
    names = {name for name, _ in _containers(pod)}
    other = next((name for name in OTHER_MESHES if name in names), None)
    return None if other is None else f"{other} captures the same traffic already"


def _edits(pod: PodTemplate, intent: Intent, options: Options) -> Iterator[Edit]:
    check(intent)
    if options.sidecar is Sidecar.CONTAINER and pod.kind in ENDING_KINDS:
        raise pod.source.refuse(
            pod.node, f"{pod.kind} {pod.name} would never end beside an ordinary container: use --sidecar native"
        )
    for name, node in _containers(pod):
        if name in (INIT, PROXY):
            raise pod.source.refuse(node, f"a container {name} stands here, and `tidegate inject` did not make it")
    init, proxy = containers.init_container(intent, options), containers.proxy_container(intent, options)
    lists: dict[str, list[dict[str, Value]]] = {}
    if options.sidecar is Sidecar.NATIVE:
        lists["initContainers"] = [init, proxy]
    else:
        lists |= {"initContainers": [init], "containers": [proxy]}
    wanted = containers.volumes(intent, options)
    if wanted:
        lists["volumes"] = wanted
    owner, spec = pod.spec
    made = [key for key in lists if entry(pod.source, spec, key) is None]
    yield from _noted(pod, made)
    for key, items in lists.items():
        found = entry(pod.source, spec, key)
        if found is None:
            yield new_entry(pod.source, owner, spec, key, items)
        else:
            if key == "volumes":
                _refuse_taken(pod, found[1], {str(one["name"]) for one in items})
            yield new_items(pod.source, *found, items)


def _noted(pod: PodTemplate, made: list[str]) -> Iterator[Edit]:
    """The annotation by which `uninject` knows what to take out."""
    metadata = pod.part("metadata")
    if metadata is None or is_null(metadata[1]):
        made = [*(["metadata"] if metadata is None else []), "annotations", *made]
        noted: Value = {"annotations": {INJECTED: record(made)}}
        if metadata is None:
            yield new_entry(pod.source, pod.owner, pod.node, "metadata", noted)
        else:
            yield new_entry(pod.source, *metadata, "annotations", {INJECTED: record(made)})
        return
    annotations = entry(pod.source, metadata[1], "annotations")
    if annotations is None:
        yield new_entry(pod.source, *metadata, "annotations", {INJECTED: record(["annotations", *made])})
    else:
        yield new_entry(pod.source, *annotations, INJECTED, record(made))


def _refuse_taken(pod: PodTemplate, sequence: Any, names: set[str]) -> None:
    if not is_sequence(sequence):
        return
    for item in sequence.value:
        found = entry(pod.source, item, "name") if is_mapping(item) else None
        if found is not None and scalar(found[1]) in names:
            raise pod.source.refuse(item, f"{found[1].value!r} stands here, and `tidegate inject` did not make it")


def _containers(pod: PodTemplate) -> Iterator[tuple[str | None, Any]]:
    for key in ("initContainers", "containers"):
        found = entry(pod.source, pod.spec[1], key)
        if found is not None and is_sequence(found[1]):
            for item in found[1].value:
                name = entry(pod.source, item, "name")
                yield (None if name is None else scalar(name[1])), item


def _warnings(pod: PodTemplate, intent: Intent) -> Iterator[str]:
    own = {intent.listeners.outbound, intent.listeners.inbound, intent.listeners.dns, intent.listeners.telemetry}
    for name, item in _containers(pod):
        context = entry(pod.source, item, "securityContext")
        user = None if context is None or not is_mapping(context[1]) else entry(pod.source, context[1], "runAsUser")
        if user is not None and scalar(user[1]) in {str(uid) for uid in intent.exempt.uids}:
            yield f"container {name} runs as user {user[1].value}, whose traffic is never captured"
        ports = entry(pod.source, item, "ports")
        for port in ports[1].value if ports is not None and is_sequence(ports[1]) else ():
            number = entry(pod.source, port, "containerPort") if is_mapping(port) else None
            if number is not None and scalar(number[1]) in {str(one) for one in own}:
                yield f"container {name} has port {number[1].value}, which is tidegate's own: change one of them"
