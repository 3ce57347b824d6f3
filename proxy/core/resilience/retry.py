"""Whether a request is sent again. Each rule alone can forbid it.

The budget is asked after these rules (`budget`), since asking draws on it."""

from dataclasses import dataclass
from enum import StrEnum

from proxy.core.policy.settings import Failure, Retries

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, section 9.2.2."""


class Refused(StrEnum):
    """Why there is no retry."""

    NOT_A_FAILURE = "the answer is none that is retried"
    ATTEMPTS = "as many attempts as allowed were made"
    UNSAFE = "the request may have been acted upon, and its method does not allow that twice"
    BODY = "the request's body is not kept"
    ANSWERING = "bytes of the answer have been passed on"
    DEADLINE = "the retry could not finish before the deadline"
    BUDGET = "the retry budget is used up"
    LIMIT = "as many retries as allowed are under way"


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt went. status: of the answer's head; None: there is none, and `failure` says why."""

    status: int | None
    failure: Failure | None = None
    request_sent: bool = True
    """At least a byte of the request may have reached the endpoint."""
    answer_passed_on: bool = False


@dataclass(frozen=True, slots=True)
class Repeatable:
    """What of the request matters. body_kept: all that was sent of it can be sent again."""

    method: str
    idempotency_key: bool = False
    body_kept: bool = True

    def is_safe(self, attempt: Attempt) -> bool:
        return not attempt.request_sent or self.method in IDEMPOTENT or self.idempotency_key


def refusal(
    policy: Retries, request: Repeatable, attempt: Attempt, *, retries_made: int, left_s: float | None, wait_s: float
) -> Refused | None:
    """None: the request may be sent again, after `wait_s`, if the budget allows. left_s: until the deadline; None:
    there is none."""
    if not is_retried(policy, attempt):
        return Refused.NOT_A_FAILURE
    if attempt.answer_passed_on:
        return Refused.ANSWERING
    if retries_made >= policy.attempts:
        return Refused.ATTEMPTS
    if not request.is_safe(attempt):
        return Refused.UNSAFE
    if not request.body_kept:
        return Refused.BODY
    if left_s is not None and wait_s >= left_s:
        return Refused.DEADLINE
    return None


def is_retried(policy: Retries, attempt: Attempt) -> bool:
    """Whether the policy names what happened."""
    if attempt.status is not None:
        return attempt.status in policy.statuses
    return attempt.failure in policy.failures


def draws_on_budget(attempt: Attempt) -> bool:
    """A connection that could not be made has cost the endpoint nothing."""
    return attempt.failure is not Failure.CONNECT
