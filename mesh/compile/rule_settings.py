"""Timeouts, retries and session persistence of a route's rule, in the terms of proxy.core."""

from dataclasses import dataclass, replace

from mesh.kinds.http import Retry, Timeouts
from mesh.kinds.sessions import SessionPersistence
from mesh.yaml.texts import gateway_seconds
from proxy.core.policy.http import Persistence, RuleTimeouts
from proxy.core.policy.settings import Retries

SESSION_NAME = "tidegate-session"
"""Of the cookie or header, where a route leaves it out."""
_LONGEST_BACKOFF = 10
"""Times the rule's own back-off: it says only with what it begins."""


@dataclass(frozen=True, slots=True)
class RetriesDraft:
    attempts: int | None
    statuses: frozenset[int]
    """Empty: not said."""
    backoff_s: float | None

    def on(self, settings: Retries | None) -> Retries:
        """What a rule leaves out is as the TrafficPolicy has it, else as the contract does."""
        found = settings or Retries()
        if self.attempts is not None:
            found = replace(found, attempts=self.attempts)
        if self.statuses:
            found = replace(found, statuses=self.statuses)
        if self.backoff_s is not None:
            longest = max(found.backoff_max_s, self.backoff_s * _LONGEST_BACKOFF)
            found = replace(found, backoff_base_s=self.backoff_s, backoff_max_s=longest)
        return found


def timeouts(spec: Timeouts | None) -> RuleTimeouts:
    if spec is None:
        return RuleTimeouts()
    return RuleTimeouts(_seconds(spec.request), _seconds(spec.backend_request))


def retries(spec: Retry) -> RetriesDraft:
    return RetriesDraft(spec.attempts, frozenset(spec.codes), _seconds(spec.backoff))


def persistence(spec: SessionPersistence) -> Persistence:
    header = spec.type == "Header"
    name = (spec.header.name if spec.header is not None else None) if header else spec.cookies.name
    return Persistence(
        name=name or spec.session_name or SESSION_NAME,
        header=header,
        permanent=not header and spec.cookies.lifetime_type == "Permanent",
        path="" if header else spec.cookies.path or "",
        absolute_s=_seconds(spec.absolute_timeout),
        idle_s=_seconds(spec.idle_timeout),
    )


def _seconds(text: str | None) -> float | None:
    return None if text is None else gateway_seconds(text)
