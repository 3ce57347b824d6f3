"""Requests that the engine asks about: those whose rules have regular expressions, or all of them.

Runs in the engine's threads. What it reads is immutable; the event loop exchanges whole entries of one dict."""

import logging
from collections.abc import Sequence

from cext.engine.door import Question, Reply, ReplyKind
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


class Decider:
    """By tag, so that the rules are those that the engine's table was made of, whatever is being published."""

    def __init__(self) -> None:
        self._tables: dict[int, tuple[tuple[HttpRule, ...], RuleTable]] = {}
        self.failures = 0

    def learn(self, tag: int, rules: Sequence[HttpRule], table: RuleTable) -> None:
        """To be called before the engine's table with that tag is in force."""
        self._tables[tag] = tuple(rules), table

    def forget(self, tag: int) -> None:
        """When no request can be asked by that tag any more."""
        self._tables.pop(tag, None)

    def rules(self, tag: int) -> tuple[tuple[HttpRule, ...], RuleTable]:
        return self._tables[tag]

    def decide(self, question: Question, reply: Reply) -> None:
        _, table = self._tables[question.tag]
        number = table.find(request_of(question))
        if number is None:
            reply.say(ReplyKind.NO_RULE)
        else:
            reply.say(ReplyKind.RULE, rule=number)

    def failed(self, wrong: BaseException) -> None:
        """The request gets 500."""
        self.failures += 1
        _log.error("deciding a request failed, it is answered 500: %r", wrong, exc_info=wrong)
