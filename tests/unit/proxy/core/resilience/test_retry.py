"""Whether a request is sent again: every rule alone forbids it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.policy.settings import Failure, Retries
from proxy.core.resilience.backoff import backoff, limit
from proxy.core.resilience.budget import WINDOW_S, Budget
from proxy.core.resilience.retry import IDEMPOTENT, Attempt, Refused, Repeatable, draws_on_budget, refusal

POLICY = Retries()
GET = Repeatable("GET")
BAD_GATEWAY = Attempt(502)


def asked(
    request: Repeatable = GET,
    attempt: Attempt = BAD_GATEWAY,
    *,
    policy: Retries = POLICY,
    retries_made: int = 0,
    left_s: float | None = None,
    wait_s: float = 0.025,
) -> Refused | None:
    return refusal(policy, request, attempt, retries_made=retries_made, left_s=left_s, wait_s=wait_s)


def test_a_get_that_got_a_bad_gateway_is_sent_again() -> None:
    assert asked() is None


@pytest.mark.parametrize("status", [200, 404, 500, 501, 505])
def test_an_answer_that_the_policy_does_not_name_is_none_to_retry(status: int) -> None:
    assert asked(attempt=Attempt(status)) is Refused.NOT_A_FAILURE
    assert asked(attempt=Attempt(status), policy=replace(POLICY, statuses=frozenset({status}))) is None


@pytest.mark.parametrize("failure", list(Failure))
def test_failures_are_retried_that_the_policy_names(failure: Failure) -> None:
    one = Attempt(None, failure)
    assert asked(attempt=one, policy=replace(POLICY, failures=frozenset({failure}))) is None
    assert asked(attempt=one, policy=replace(POLICY, failures=frozenset())) is Refused.NOT_A_FAILURE
    # A status is what counts where there is one.
    assert asked(attempt=Attempt(200, failure)) is Refused.NOT_A_FAILURE


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
def test_idempotent_methods_may_be_repeated(method: str) -> None:
    assert asked(Repeatable(method)) is None
    assert method in IDEMPOTENT


@pytest.mark.parametrize("method", ["POST", "PATCH", "CONNECT", "get", "PROPFIND"])
def test_others_only_with_a_key_or_before_a_byte_was_sent(method: str) -> None:
    assert asked(Repeatable(method)) is Refused.UNSAFE
    assert asked(Repeatable(method, idempotency_key=True)) is None
    assert asked(Repeatable(method), Attempt(None, Failure.CONNECT, request_sent=False)) is None
    assert asked(Repeatable(method), Attempt(None, Failure.RESET)) is Refused.UNSAFE


def test_nothing_is_repeated_whose_body_is_gone_or_whose_answer_has_begun() -> None:
    assert asked(Repeatable("PUT", body_kept=False)) is Refused.BODY
    assert asked(attempt=Attempt(502, answer_passed_on=True)) is Refused.ANSWERING


def test_attempts_count_repeats() -> None:
    assert asked(retries_made=1) is None
    assert asked(retries_made=2) is Refused.ATTEMPTS
    assert asked(policy=replace(POLICY, attempts=0)) is Refused.ATTEMPTS


def test_no_retry_that_cannot_finish() -> None:
    assert asked(left_s=0.026, wait_s=0.025) is None
    assert asked(left_s=0.025, wait_s=0.025) is Refused.DEADLINE
    assert asked(left_s=-1, wait_s=0) is Refused.DEADLINE


def test_connections_that_could_not_be_made_draw_on_no_budget() -> None:
    assert not draws_on_budget(Attempt(None, Failure.CONNECT))
    assert draws_on_budget(Attempt(None, Failure.RESET))
    assert draws_on_budget(Attempt(503))


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_back_off_is_by_chance_under_a_limit_that_doubles(retry: int, chance: float) -> None:
    assert backoff(retry, 0.025, 0.25, lambda: chance) == chance * limit(retry, 0.025, 0.25)
    assert limit(retry, 0.025, 0.25) == min(0.25, 0.025 * 2 ** (retry - 1))


STEPS = st.lists(st.tuples(st.floats(0, 4), st.integers(0, 20), st.integers(0, 10)), max_size=40)


@given(STEPS, st.sampled_from([0.0, 5.0, 20.0, 100.0]), st.sampled_from([0.0, 0.5, 3.0]))
def test_in_any_ten_seconds_the_budget_holds(steps: list[tuple[float, int, int]], percent: float, per_s: float) -> None:
    """Retries of the last ten seconds: at most the percentage of the requests since ten seconds before the first of
    them, what was saved up, and what came in since."""
    budget, now = Budget(percent, per_s), 1000.0
    requests: list[float] = []
    taken: list[float] = []
    for gap, began, wanted in steps:
        now += gap
        for _ in range(began):
            budget.request(now)
            requests.append(now)
        taken += [now for _ in range(wanted) if budget.take(now)]
    for end in taken:
        within = [at for at in taken if end - WINDOW_S < at <= end]
        base = [at for at in requests if end - 2 * WINDOW_S < at <= end]
        assert len(within) <= percent / 100 * len(base) + 2 * WINDOW_S * per_s + 1e-6


def test_the_budget_in_numbers() -> None:
    """A hundred requests allow twenty retries, and thirty more were saved up at three a second."""
    budget = Budget(20.0, 3.0)
    for _ in range(100):
        budget.request(100.0)
    assert sum(budget.take(100.0) for _ in range(100)) == 50
    assert not budget.take(100.3)
    assert budget.take(100.4)
    # Ten seconds later the requests are out of sight, and nothing is left but what has been saved up since.
    assert sum(budget.take(110.4) for _ in range(100)) == 30


def test_requests_count_for_ten_seconds_and_not_twice() -> None:
    budget = Budget(100.0)
    budget.request(100.0)
    assert budget.take(109.9)
    assert not budget.take(109.9)
    budget = Budget(100.0)
    budget.request(100.0)
    assert not budget.take(110.0)


def test_without_a_budget_nothing_is_repeated() -> None:
    assert not Budget(0.0, 0.0).take(5)


def test_what_was_taken_counts_for_ten_seconds_at_least() -> None:
    budget = Budget(100.0)
    budget.request(100.0)
    assert budget.take(100.9)
    budget.request(110.0)
    assert not budget.take(110.8)
    budget.request(111.0)
    assert budget.take(111.0)


def test_less_than_one_a_second_is_saved_up_too_and_not_from_before_the_clock_began() -> None:
    assert sum(Budget(0.0, 0.5).take(100.0) for _ in range(9)) == 9  # each its own
    half = Budget(0.0, 0.5)
    assert sum(half.take(100.0) for _ in range(9)) == 5
    young = Budget(0.0, 1.0)
    assert not young.take(0.5)
    assert young.take(1.0)
    assert not young.take(1.5)
