"""The rules of a destination as the engine's table: arrays of structs and one text, ready to be copied.

Two sites that say the same are equal, so only what differs needs to be published."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from proxy.core.decide.heads import Reached
from proxy.core.lower import site_layout as layout
from proxy.core.lower.site_parts import Parts
from proxy.core.policy.cluster import Cluster
from proxy.core.policy.http import HttpRule
from proxy.core.route.match import Kind, Text

NumberOf = Callable[[Cluster], int]
"""The engine's number of a cluster."""
_KINDS = {Kind.EXACT: layout.EXACT, Kind.PREFIX: layout.PREFIX, Kind.REGEX: layout.REGEX}


class SiteTable(NamedTuple):
    """Each array but `text` is a multiple of its struct's size; the names are those of tg_site_spec."""

    flags: int
    port: int
    text: bytes
    rules: bytes
    conditions: bytes
    backends: bytes
    filters: bytes
    edits: bytes
    mirrors: bytes
    cors: bytes
    pieces: bytes


def site_table(
    rules: Sequence[HttpRule], number_of: NumberOf, reached: Reached, *, ask_always: bool = False
) -> SiteTable:
    """rules: in the order in which they are asked; their numbers are their places here and in the engine."""
    parts = Parts(number_of)
    flags = (layout.ASK_ALWAYS if ask_always else 0) | (layout.HTTPS if reached.scheme == "https" else 0)
    packed = b"".join([_rule(parts, rule) for rule in rules])
    return SiteTable(
        flags,
        reached.port,
        bytes(parts.text),
        packed,
        bytes(parts.conditions),
        bytes(parts.backends),
        bytes(parts.filters),
        bytes(parts.edits),
        bytes(parts.mirrors),
        bytes(parts.cors),
        bytes(parts.pieces),
    )


def _rule(parts: Parts, rule: HttpRule) -> bytes:
    path, method = rule.match.path, rule.match.method
    value = path.value.rstrip("/") if path.kind is Kind.PREFIX else path.value
    return layout.RULE.pack(
        _KINDS[path.kind],
        parts.filters_of(rule.filters),
        *parts.piece(value),
        *parts.piece(method or ""),
        *_conditions(parts, rule),
        *_backends(parts, rule),
    )


def _conditions(parts: Parts, rule: HttpRule) -> tuple[int, int]:
    first = len(parts.conditions) // layout.CONDITION.size
    subjects: list[tuple[int, Text]] = [(layout.HEADER, one) for one in rule.match.headers]
    subjects += [(layout.PARAMETER, one) for one in rule.match.parameters]
    for subject, one in subjects:
        parts.conditions += layout.CONDITION.pack(
            subject, _KINDS[one.kind], *parts.piece(one.name), *parts.piece(one.value)
        )
    return first, len(subjects)


def _backends(parts: Parts, rule: HttpRule) -> tuple[int, int]:
    first = len(parts.backends) // layout.BACKEND.size
    for target in rule.targets:
        number = 0 if target.cluster is None else parts.number_of(target.cluster)
        parts.backends += layout.BACKEND.pack(
            number, target.weight, parts.filters_of(target.filters), target.cluster is not None, 0
        )
    return first, len(rule.targets)
