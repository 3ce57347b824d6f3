"""Taking out of pods what `inject` put there, and nothing else."""

import json
from collections.abc import Iterator
from typing import Any

from onboard.annotations import INJECTED
from onboard.kubernetes.containers import INIT, PROXY, VOLUMES
from onboard.kubernetes.workloads import PodTemplate
from onboard.text import remove
from onboard.text.edits import Edit
from onboard.text.nodes import entry, is_mapping, is_null, is_sequence, scalar

PARTS = ("metadata", "annotations", "initContainers", "volumes")
"""What a pod may have lacked before, and `inject` then made."""
_LISTS = {"initContainers": (INIT, PROXY), "containers": (PROXY,), "volumes": VOLUMES}


def record(made: list[str]) -> str:
    """The annotation's text."""
    return json.dumps({"made": made})


def is_injected(pod: PodTemplate) -> bool:
    return INJECTED in pod.annotations()


def removals(pod: PodTemplate) -> Iterator[Edit]:
    """Nothing where the pod was not injected. Raises ManifestError when the note in the pod is not one of ours."""
    if not is_injected(pod):
        return
    made = _made(pod)
    yield from _metadata(pod, made)
    spec = pod.spec[1]
    whole: set[str] = set()
    for key, names in _LISTS.items():
        found = entry(pod.source, spec, key)
        if found is None or is_null(found[1]) or not is_sequence(found[1]):
            continue
        ours = [index for index, item in enumerate(found[1].value) if _name(pod, item) in names]
        if key in made and len(ours) == len(found[1].value):
            whole.add(key)
        else:
            yield from remove.items(pod.source, found[1], ours)
    yield from remove.entries(pod.source, spec, whole.__contains__)


def _metadata(pod: PodTemplate, made: list[str]) -> Iterator[Edit]:
    metadata = pod.part("metadata")
    if metadata is None:
        return
    annotations = entry(pod.source, metadata[1], "annotations")
    if annotations is None:
        return
    if len(annotations[1].value) > 1 or "annotations" not in made:
        yield from remove.entries(pod.source, annotations[1], INJECTED.__eq__)
    elif len(metadata[1].value) > 1 or "metadata" not in made:
        yield from remove.entries(pod.source, metadata[1], "annotations".__eq__)
    else:
        yield from remove.entries(pod.source, pod.node, "metadata".__eq__)


def _made(pod: PodTemplate) -> list[str]:
    node = pod.annotations()[INJECTED]
    try:
        made = json.loads(scalar(node) or "")["made"]
    except (ValueError, TypeError, KeyError):
        made = None
    if not isinstance(made, list) or not all(one in PARTS for one in made):
        raise pod.source.refuse(
            node, f"{INJECTED}: this is not what `tidegate inject` writes: take its parts out by hand"
        )
    return made


def _name(pod: PodTemplate, item: Any) -> str | None:
    found = entry(pod.source, item, "name") if is_mapping(item) else None
    return None if found is None else scalar(found[1])
