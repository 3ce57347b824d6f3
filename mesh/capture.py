"""Capture documents -> the flags of `init`, judged by the same parser as the flags are."""

from collections.abc import Mapping
from typing import Any

from intercept.errors import BadInput
from intercept.intent.from_flags import intent_from_flags
from mesh.documents import Document, Documents
from mesh.kinds.capture import Capture, CaptureSpec
from mesh.reading import read
from mesh.yaml.problems import ConfigError, Place, Problem, Problems, Severity, shown

REPEATED = "exclude-outbound-for"


def flags_of(documents: Documents, problems: Problems) -> dict[str, Any]:
    """The flags (`--name` -> text, texts or bool) that the one Capture document stands for; {} without one. More than
    one is an error, which names both places."""
    found = list(documents.of(Capture))
    for document, _ in found[1:]:
        first = found[0][0]
        problems.error(document.place, f"{document}: only one Capture can be in force: {first} is in {first.place}")
    return {} if len(found) != 1 else _flags(found[0][1].spec)


def capture_problems(documents: Documents, problems: Problems) -> None:
    """Note what is wrong with Capture documents, every field by its file and line."""
    flags_of(documents, problems)
    for document, capture in documents.of(Capture):
        _judge(document, capture.spec, problems)


def merged(
    paths: tuple[str, ...], given: Mapping[str, Any], *, capture_required: bool = True
) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """`init`'s flags and warnings. Flags of the command line win over those of configuration. Raises ConfigError."""
    problems = Problems()
    documents = read(paths, problems)
    capture_problems(documents, problems)
    flags = flags_of(documents, problems)
    problems.refuse_if_any()
    if capture_required and not any(True for _ in documents.of(Capture)):
        what = Problem(Place(", ".join(paths), 0), Severity.ERROR, "there is no document of kind Capture here")
        raise ConfigError([what])
    return {**flags, **given}, problems.sorted()


def _flags(spec: CaptureSpec) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in (field for field in spec.__struct_fields__ if field not in ("line", "lines")):
        value = getattr(spec, name)
        if value is None:
            continue
        flag = name.replace("_", "-")
        if isinstance(value, tuple):
            texts = [str(one) for one in value]
            found["--" + flag] = texts if flag == REPEATED else ",".join(texts)
        elif isinstance(value, bool):
            if value:
                found["--" + flag] = True
        else:
            found["--" + flag] = [str(value)] if flag == REPEATED else str(value)
    return found


def _judge(document: Document, spec: CaptureSpec, problems: Problems) -> None:
    """Judge each field by itself, so that all mistakes are found; then judge all of them together."""
    flags = _flags(spec)
    wrong = 0
    for flag, value in flags.items():
        try:
            intent_from_flags({flag: value}, cgroup_mount="")
        except BadInput as refused:
            wrong += 1
            _note(document, spec, refused, problems)
    if wrong == 0:
        try:
            intent_from_flags(flags, cgroup_mount="")
        except BadInput as refused:
            _note(document, spec, refused, problems)


def _note(document: Document, spec: CaptureSpec, refused: BadInput, problems: Problems) -> None:
    head, *rest = refused.where.removeprefix("--").split("-")
    field = head + "".join(part.capitalize() for part in rest)
    place = document.at(spec.lines.get(field, spec.line))
    problems.error(place, f"spec.{field}: {shown(refused.token)} is not valid: {refused.allowed}")
