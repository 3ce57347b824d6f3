"""Requests that the engine asks about: those whose rules have regular expressions, or all of them.

Runs in the engine's threads. What it reads is immutable; the event loop exchanges whole entries of one dict."""

import logging
from dataclasses import dataclass

from cext.engine.door import Question, Reply, ReplyKind
from proxy.core.decide.heads import Reached
from proxy.core.policy.http import HttpRule
from proxy.core.route.match import Request
from proxy.core.route.table import RuleTable

_log = logging.getLogger("tidegate.proxy")


def text(data: bytes) -> str:
    """As `proxy.core.route.target` has it."""
    return data.decode("utf-8", "surrogateescape")


def request_of(question: Question) -> Request:
    headers = [(text(name), text(value)) for name, value in question.headers()]
    return Request(text(question.method), text(question.target), headers)


@dataclass(frozen=True, slots=True)
class Known:
    """The rules of a site, as the engine's table with the same tag has them."""

    rules: tuple[HttpRule, ...]
    table: RuleTable
    reached: Reached


class Decider:
    """By tag, so that the rules are those that the engine's table was made of, whatever is being published."""

    def __init__(self) -> None:
        self._known: dict[int, Known] = {}
        self.failures = 0

    def learn(self, tag: int, known: Known) -> None:
        """To be called before the engine's table with that tag is in force."""
        self._known[tag] = known

    def forget(self, tag: int) -> None:
        """When no request can be asked by that tag any more."""
        self._known.pop(tag, None)

    def known(self, tag: int) -> Known:
        return self._known[tag]

    def decide(self, question: Question, reply: Reply) -> None:
        self.say(question, request_of(question), reply)

    def say(self, question: Question, request: Request, reply: Reply) -> None:
        """Which rule takes the request; the engine does the rest."""
        number = self._known[question.tag].table.find(request)
        if number is None:
            reply.say(ReplyKind.NO_RULE)
        else:
            reply.say(ReplyKind.RULE, rule=number)

    def failed(self, wrong: BaseException) -> None:
        """The request gets 500."""
        self.failures += 1
        _log.error("deciding a request failed, it is answered 500: %r", wrong, exc_info=wrong)
