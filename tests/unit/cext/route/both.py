"""One request through the table in C and through Python: both must say the same."""

from collections.abc import Sequence

from proxy.core.addresses import Address, UpstreamAddress
from proxy.core.decide.heads import Reached, answer_head, own_head, request_head
from proxy.core.decide.request import Decision, cluster_of, decide, linear
from proxy.core.policy.cluster import Cluster, ServiceName
from proxy.core.policy.http import HttpRule
from proxy.core.route.match import Kind, Request
from proxy.core.route.table import RuleTable
from tests.unit.cext.route.evaluator import ANSWER, Outcome, Site

REASONS = {204: "No Content", 301: "Moved Permanently", 302: "Found", 303: "See Other", 307: "Temporary Redirect"}
REASONS |= {308: "Permanent Redirect", 404: "Not Found", 500: "Internal Server Error"}


PLAIN = Reached(80)


def cluster(name: str) -> Cluster:
    return Cluster(name, ServiceName("shop", name), 80, (UpstreamAddress(Address("10.0.0.1", 80)),))


def request_of(head: bytes) -> Request:
    first, *lines = head.decode("utf-8", "surrogateescape").removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)]
    return Request(method, target, headers)


def checked(rules: Sequence[HttpRule], head: bytes, random: int = 0, reached: Reached = PLAIN) -> Decision:
    """What Python decides, after C has been held to it."""
    request = request_of(head)
    decision = decide(rules, linear(rules), request, random)
    assert RuleTable([rule.match for rule in rules]).find(request) == decision.rule
    site = Site(rules, reached)
    try:
        found = site.decide(head, random)
        if found.kind == "ask":
            assert _may_ask(rules, decision)
        else:
            _equal(rules, site, (decision, found), head, reached)
    finally:
        site.close()
    return decision


def _may_ask(rules: Sequence[HttpRule], decision: Decision) -> bool:
    """Only for a rule with an expression, none of which stands behind the rule that wins."""
    end = len(rules) if decision.rule is None else decision.rule + 1
    return any(has_regex(rule) for rule in rules[:end])


def has_regex(rule: HttpRule) -> bool:
    texts = (*rule.match.headers, *rule.match.parameters)
    return rule.match.path.kind is Kind.REGEX or any(one.kind is Kind.REGEX for one in texts)


def _equal(
    rules: Sequence[HttpRule], site: Site, both: tuple[Decision, Outcome], head: bytes, reached: Reached
) -> None:
    decision, found = both
    request = request_of(head)
    assert (found.rule, found.status) == (decision.rule, decision.status)
    assert found.target == decision.target
    assert found.kind == ("answer" if decision.status else "forward")
    mirrored = [one.cluster for one in decision.mirrors if one.cluster is not None]
    assert list(found.mirrors) == [site.numbers.of(one) for one in mirrored]
    if decision.status or decision.rule is None:
        rule = None if decision.rule is None else rules[decision.rule]
        wanted = own_head(rule, decision, request, reached)
        status = f"HTTP/1.1 {decision.status} {REASONS[decision.status]}"
        assert _without_connection(found.answer) == _head(status, wanted)
        return
    chosen = cluster_of(rules, decision)
    assert chosen is not None
    assert found.cluster == site.numbers.of(chosen)
    rule = rules[decision.rule]
    target, headers = request_head(rule, decision, request)
    sent = request_of(found.request) if found.edits_request else request
    assert (sent.method, sent.target, list(sent.lines)) == (request.method, target, headers)
    answer = request_of(ANSWER.replace(b"200 OK", b"200 x", 1))
    edited = answer_head(rule, decision, list(answer.lines))
    if found.edits_answer:
        assert request_of(found.answer).lines == edited
    else:
        assert edited == answer.lines


def _head(line: str, headers: list[tuple[str, str]]) -> bytes:
    lines = [line, *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def _without_connection(head: bytes) -> bytes:
    return head.replace(b"connection: close\r\n", b"").replace(b"connection: keep-alive\r\n", b"")
