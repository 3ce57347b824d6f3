"""Requests and answers through a filter, and then as the rules have it."""

import itertools
import time
from http import HTTPStatus

from cext.engine.door import Question, Reply, ReplyKind
from proxy.core.decide.heads import own_head, request_head
from proxy.core.decide.request import decide
from proxy.core.filter.heads import Answer, FilteredRequest, FilteredResponse, parsed, written
from proxy.core.route.match import Request
from proxy.lanes.parsed.decider import Decider, request_of
from proxy.lanes.parsed.filters.budget import Budget, Bypassed
from proxy.lanes.parsed.filters.load import Hooks


class FilteredDecider:
    """Every request has to be asked about: its sites are prepared with `ask_always`."""

    def __init__(self, decider: Decider, hooks: Hooks, budget: Budget) -> None:
        self._decider = decider
        self._hooks = hooks
        self._budget = budget

    def decide(self, question: Question, reply: Reply) -> None:
        if question.status:
            self._answer(question, reply)
        else:
            self._request(question, reply)

    def _request(self, question: Question, reply: Reply) -> None:
        came = request_of(question)
        request = self._filtered(question, came)
        if isinstance(request, Answer):
            _write_answer(request, question, reply)
            return
        if request is None:
            self._decider.say(question, came, reply)
        else:
            self._changed(request, question, reply)
        if self._hooks.on_response is not None:
            reply.watch(0)

    def _filtered(self, question: Question, came: Request) -> Answer | Request | None:
        """None: nothing was changed."""
        if self._hooks.on_request is None:
            return None
        request = FilteredRequest(came.method, came.target, came.lines, question.peer)
        try:
            said: object = self._budget.call("on_request", self._hooks.on_request, request)
        except Bypassed:
            return None
        if said is None:
            return Request(request.method, request.target, list(request.headers)) if request.changed else None
        if isinstance(said, Answer):
            return said
        raise TypeError(f"{self._hooks.name}: on_request returned {said!r}: None or request.answer(...) is expected")

    def _changed(self, request: Request, question: Question, reply: Reply) -> None:
        """The engine has another head than the rules are to see, so all of it is decided and written here."""
        known = self._decider.known(question.tag)
        decision = decide(known.rules, known.table.find, request, question.random, int(time.time()))
        rule = None if decision.rule is None else known.rules[decision.rule]
        if rule is not None and decision.target is not None and not decision.status:
            target, lines = request_head(rule, decision, request)
            reply.write(written(f"{request.method} {target} HTTP/1.{question.minor}", lines))
            reply.say(ReplyKind.FORWARD, rule=decision.rule or 0, backend=decision.target)
            return
        lines = own_head(rule, decision, request, known.reached)
        reply.write(written(_status_line(decision.status), lines))
        reply.say(ReplyKind.ANSWER, status=decision.status)

    def _answer(self, question: Question, reply: Reply) -> None:
        reply.say(ReplyKind.AS_IS)
        if self._hooks.on_response is None:
            return
        first_line, lines = parsed(question.head)
        response = FilteredResponse(question.status, lines)
        try:
            self._budget.call("on_response", self._hooks.on_response, response)
        except Bypassed:
            return
        if response.headers.changed:
            reply.write(written(first_line, response.headers))
            reply.say(ReplyKind.ANSWER, status=question.status)


def _write_answer(answer: Answer, question: Question, reply: Reply) -> None:
    no_body = answer.status in (204, 304)
    framing = () if no_body else (("content-length", str(len(answer.body))),)
    head = written(_status_line(answer.status), itertools.chain(answer.headers, framing))
    reply.write(head if question.method == b"HEAD" else head + answer.body)
    reply.say(ReplyKind.ANSWER, status=answer.status)


def _status_line(status: int) -> str:
    try:
        return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP/1.1 {status} "
