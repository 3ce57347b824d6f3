"""Putting a proxy and an init service beside the services of a compose file, and taking them out again."""

from collections.abc import Iterator, Mapping
from typing import Any

from intercept.intent.from_flags import Raw
from onboard.annotations import INJECTED, PREFIX, intent_of, refusal
from onboard.arguments import check
from onboard.changed import Changed
from onboard.compose.services import INIT, PROXY, Options, init_service, proxy_service
from onboard.text import remove
from onboard.text.edits import Edit, apply
from onboard.text.insert import new_entry
from onboard.text.nodes import Source, documents, entry, is_mapping, is_sequence, scalar


def is_compose(source: Source) -> bool:
    """Whether the file is a compose file: services at the top, and no Kubernetes kind. Raises ManifestError."""
    roots = documents(source)
    keys = {key.value for key, _ in roots[0].value if key.id == "scalar"} if roots and is_mapping(roots[0]) else set()
    return "services" in keys and "kind" not in keys


def inject(source: Source, flags: Mapping[str, Raw], options: Options) -> Changed:
    """Each service of the file. One that was injected before is injected anew. Raises ManifestError, BadInput."""
    source = Source(source.file, uninject(source).text)
    owner, services = _services(source)
    edits: list[Edit] = []
    changed: list[str] = []
    notes: list[str] = []
    names = {key.value for key, _ in services.value}
    for key, service in services.value:
        name = str(key.value)
        given = _labels(source, service)
        reason = _left_alone(source, service, given)
        if reason is not None:
            notes.append(f"{source.file}:{key.start_mark.line + 1}: service {name} is left as it is: {reason}")
            continue
        taken = next((one for one in (name + INIT, name + PROXY) if one in names), None)
        if taken is not None:
            raise source.refuse(key, f"a service {taken} stands here, and `tidegate inject` did not make it")
        intent = intent_of(source, given, flags)
        check(intent)
        edits.append(new_entry(source, owner, services, name + INIT, init_service(name, intent, options)))
        edits.append(new_entry(source, owner, services, name + PROXY, proxy_service(name, intent, options)))
        changed.append(f"service {name}")
    return Changed(apply(source.text, edits), tuple(changed), tuple(notes))


def uninject(source: Source) -> Changed:
    """The file as it was before `inject`. Raises ManifestError."""
    _, services = _services(source)
    ours = {
        str(key.value): scalar(labels[INJECTED]) or ""
        for key, service in services.value
        if INJECTED in (labels := _labels(source, service))
    }
    edits = remove.entries(source, services, ours.__contains__)
    served = dict.fromkeys(f"service {name}" for name in ours.values())
    return Changed(apply(source.text, edits), tuple(served), ())


def _services(source: Source) -> tuple[Any, Any]:
    roots = documents(source)
    if len(roots) != 1:
        raise source.refuse(roots[-1], "a compose file has one document")
    found = entry(source, roots[0], "services")
    if found is None or not is_mapping(found[1]):
        raise source.refuse(roots[0], "a compose file has a mapping `services`")
    return found


def _labels(source: Source, service: Any) -> dict[str, Any]:
    if not is_mapping(service):
        raise source.refuse(service, "a service is a mapping")
    found = entry(source, service, "labels")
    if found is None:
        return {}
    if is_sequence(found[1]):
        for item in found[1].value:
            if (scalar(item) or "").startswith(PREFIX):
                raise source.refuse(item, f"write labels as a mapping (NAME: value) to use those of {PREFIX}")
        return {}
    return {str(key.value): value for key, value in found[1].value if key.id == "scalar"}


def _left_alone(source: Source, service: Any, given: dict[str, Any]) -> str | None:
    asked = refusal(source, given)
    if asked is not None:
        return f"its label {asked} says so"
    return next(_obstacles(source, service), None)


def _obstacles(source: Source, service: Any) -> Iterator[str]:
    mode = entry(source, service, "network_mode")
    if mode is not None and scalar(mode[1]) not in ("bridge", None):
        yield f"network_mode is {scalar(mode[1])}, so its network namespace is not its own"
    deploy = entry(source, service, "deploy")
    replicas = None if deploy is None or not is_mapping(deploy[1]) else entry(source, deploy[1], "replicas")
    for found in (entry(source, service, "scale"), replicas):
        if found is not None and scalar(found[1]) not in ("0", "1", None):
            yield "it runs several times, and compose can join the network of one container only"
