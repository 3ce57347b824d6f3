"""The rules of a destination as the engine's table: arrays of structs and one text, ready to be copied.

Two sites that say the same are equal, so only what differs needs to be published."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from proxy.core.decide.heads import Reached
from proxy.core.decide.session import cookie_path
from proxy.core.lower import site_layout as layout
from proxy.core.lower.site_parts import Parts
from proxy.core.lower.site_policy import request_policy
from proxy.core.policy.cluster import Cluster
from proxy.core.policy.http import HttpRule
from proxy.core.policy.settings import DEFAULT_SETTINGS, Failure, HttpSettings, Retries
from proxy.core.route.match import Kind, Text

NumberOf = Callable[[Cluster], int]
"""The engine's number of a cluster."""
_FAILURES = {
    Failure.CONNECT: layout.RETRY_CONNECT,
    Failure.RESET: layout.RETRY_RESET,
    Failure.PER_TRY_TIMEOUT: layout.RETRY_TIMEOUT,
}
"""REFUSED_STREAM is one of HTTP/2's."""
_NO_RETRIES = (0, 0, 0, 0, *([0] * layout.STATUS_WORDS), 0.0, 0.0)
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
    policies: bytes
    sessions: bytes


def site_table(
    rules: Sequence[HttpRule],
    number_of: NumberOf,
    reached: Reached,
    settings: HttpSettings = DEFAULT_SETTINGS,
    *,
    ask_always: bool = False,
) -> SiteTable:
    """rules: in the order in which they are asked; their numbers are their places here and in the engine. settings:
    what holds where a rule says nothing."""
    parts = Parts(number_of)
    flags = (layout.ASK_ALWAYS if ask_always else 0) | (layout.HTTPS if reached.scheme == "https" else 0)
    packed = b"".join([_rule(parts, rule, settings) for rule in rules])
    policy = request_policy(parts, settings)
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
        policy,
        bytes(parts.sessions),
    )


def _rule(parts: Parts, rule: HttpRule, settings: HttpSettings) -> bytes:
    path, method = rule.match.path, rule.match.method
    value = path.value.rstrip("/") if path.kind is Kind.PREFIX else path.value
    return layout.RULE.pack(
        _KINDS[path.kind],
        parts.filters_of(rule.filters),
        *parts.piece(value),
        *parts.piece(method or ""),
        *_conditions(parts, rule),
        *_backends(parts, rule),
        *parts.piece(rule.route),
        _milliseconds(settings.timeouts.request_s if rule.timeouts.request_s is None else rule.timeouts.request_s),
        _milliseconds(_per_try_s(rule, settings)),
        _session(parts, rule),
        0,
        *_retries(rule.retries or settings.retries),
    )


def _session(parts: Parts, rule: HttpRule) -> int:
    one = rule.persistence
    return layout.NO_SESSION if one is None else parts.session_of(one, cookie_path(one, rule.match))


def _per_try_s(rule: HttpRule, settings: HttpSettings) -> float | None:
    retries = rule.retries or settings.retries
    if rule.timeouts.per_try_s is not None or retries is None:
        return rule.timeouts.per_try_s
    return retries.per_try_s


def _milliseconds(seconds: float | None) -> int:
    """At least 1 where there is a limit: the engine takes 0 for none."""
    return max(1, min(round(seconds * 1000), 0xFFFFFFFF)) if seconds else 0


def _retries(retries: Retries | None) -> tuple[int | float, ...]:
    if retries is None:
        return _NO_RETRIES
    statuses = [0] * layout.STATUS_WORDS
    for status in retries.statuses:
        word, bit = divmod(status - layout.FIRST_STATUS, 32)
        if 0 <= word < layout.STATUS_WORDS:
            statuses[word] |= 1 << bit
    return (
        retries.attempts,
        sum(_FAILURES.get(one, 0) for one in retries.failures),
        _milliseconds(retries.backoff_base_s),
        _milliseconds(retries.backoff_max_s),
        *statuses,
        float(retries.budget_percent),
        float(retries.budget_min_per_s),
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
