"""Asking: what the caller says is done, and whatever the caller gets wrong is a 500, never a crash."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cext.engine.door import Door, Question, Reply, ReplyKind
from proxy.core.decide.request import decide, linear
from proxy.core.policy.http import HttpRule, HttpTarget
from proxy.core.route.match import Match, Path
from proxy.core.route.table import RuleTable
from proxy.lanes.parsed.decider import Decider, Known
from tests.unit.cext.route.both import cluster, request_of
from tests.unit.cext.route.evaluator import PLAIN, Outcome, Site, library, takes
from tests.unit.cext.route.strategies import RULES, heads

RULE = HttpRule(Match(Path(value="/a")), (HttpTarget(1, cluster("v1")), HttpTarget(1, cluster("v2"))), "shop/r", "0")
FAILURES: list[BaseException] = []
HEAD = b"GET /a?x HTTP/1.1\r\nHost:  shop\r\nX-A: 1\r\n\r\n"


def ask(site: Site, head: bytes, decider: Callable[[Question, Reply], None], random: int = 0) -> Outcome:
    ffi, _ = library()
    real = Door(decider, FAILURES.append)

    @ffi.callback("tg_decider")  # type: ignore[untyped-decorator]
    def called(_data: Any, question: Any, reply: Any) -> None:
        real.asked(question, reply)

    return site.decide(head, random, ffi.new("struct tg_door *", {"decider": called}))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(RULES, heads(), st.integers(0, 2**64 - 1))
def test_what_is_asked_is_decided_as_the_table_does(rules: list[HttpRule], head: bytes, random: int) -> None:
    assume(takes(head))
    decider = Decider()
    decider.learn(3, Known(tuple(rules), RuleTable([rule.match for rule in rules]), PLAIN))
    site = Site(rules, ask_always=True)
    try:
        found = ask(site, head, decider.decide, random)
    finally:
        site.close()
    wanted = decide(rules, linear(rules), request_of(head), random)
    assert (found.rule, found.target, found.status) == (wanted.rule, wanted.target, wanted.status)


def answered(say: Callable[[Reply], None]) -> Outcome:
    site = Site([RULE], ask_always=True)
    try:
        return ask(site, HEAD, lambda _, reply: say(reply))
    finally:
        site.close()


def test_the_question_has_the_whole_head() -> None:
    seen: list[Any] = []

    def look(question: Question, reply: Reply) -> None:
        seen.append((question.method, question.target, question.headers(), question.tag, question.site, question.head))
        reply.say(ReplyKind.NO_RULE)

    site = Site([RULE], ask_always=True)
    assert ask(site, HEAD, look).status == 404
    site.close()
    assert seen == [(b"GET", b"/a?x", [(b"Host", b"shop"), (b"X-A", b"1")], 3, 7, HEAD)]


def test_a_backend_may_be_chosen() -> None:
    assert answered(lambda reply: reply.say(ReplyKind.RULE, rule=0, backend=1)).target == 1


def test_a_head_may_be_written() -> None:
    def say(reply: Reply) -> None:
        reply.write(b"GET /b HTTP/1.1\r\n\r\n")
        reply.say(ReplyKind.FORWARD, rule=0, backend=0)

    assert answered(say).request == b"GET /b HTTP/1.1\r\n\r\n"


def test_an_answer_may_be_written() -> None:
    def say(reply: Reply) -> None:
        reply.write(b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 1\r\n\r\nx")
        reply.say(ReplyKind.ANSWER, status=418)

    found = answered(say)
    assert (found.status, found.answer[-1:]) == (418, b"x")


@pytest.mark.parametrize(
    "say",
    [
        lambda _: None,
        lambda reply: reply.say(ReplyKind.RULE, rule=1),
        lambda reply: reply.say(ReplyKind.RULE, rule=-1),
        lambda reply: reply.say(ReplyKind.RULE, rule=0, backend=2),
        lambda reply: reply.say(ReplyKind.RULE, rule=0, backend=-2),
        lambda reply: reply.say(ReplyKind.FORWARD, rule=0, backend=0),
        lambda reply: reply.say(ReplyKind.ANSWER, status=200),
        lambda reply: reply.say(ReplyKind.AS_IS),
    ],
)
def test_a_reply_that_makes_no_sense_is_a_500(say: Callable[[Reply], None]) -> None:
    assert answered(say).status == 500


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="there is room for 131072"):
        _refused()


def _refused() -> None:
    wrong: list[ValueError] = []

    def say(reply: Reply) -> None:
        try:
            reply.write(bytes(131073))
        except ValueError as found:
            wrong.append(found)

    assert answered(say).status == 500
    raise wrong[0]


def test_an_exception_is_told_and_a_500() -> None:
    FAILURES.clear()
    assert answered(lambda _: 1 / 0).status == 500  # type: ignore[arg-type,return-value]
    assert [type(one) for one in FAILURES] == [ZeroDivisionError]


def test_nobody_who_answers_is_a_500() -> None:
    ffi, _ = library()
    site = Site([RULE], ask_always=True)
    assert site.decide(HEAD, 0, ffi.new("struct tg_door *")).status == 500
    site.close()
