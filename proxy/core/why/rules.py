"""Which rule takes a request, and why those before it did not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from proxy.core.decide.request import Why, decide, linear
from proxy.core.policy.http import HttpRule
from proxy.core.policy.policy import Destination
from proxy.core.report.plain import plain
from proxy.core.route import regex
from proxy.core.route.match import Kind, Match, Path, Request, Text, takes

MOST_PASSED = 100
"""Rules whose reason is told, of those that did not take the request."""

_ANSWERS = {
    Why.NO_RULE: "no rule takes the request",
    Why.UNOBEYED: "the rule has a filter that no lane obeys",
    Why.NO_BACKEND: "the rule has no backend with a weight above 0",
    Why.UNRESOLVED: "the backend does not exist or may not be used",
    Why.REDIRECTED: "the rule redirects",
    Why.PREFLIGHT: "a CORS preflight is answered by the proxy",
}


def http_rules(destination: Destination) -> tuple[HttpRule, ...]:
    """Those that requests are matched against: gRPC's pass as they are."""
    return tuple(rule for rule in destination.http_rules if rule.kind == "HTTPRoute")


def route(rules: Sequence[HttpRule], request: Request) -> tuple[dict[str, Any], HttpRule | None]:
    """What became of the request among the rules, and the rule that takes it."""
    decision = decide(rules, linear(rules), request, 0)
    number = len(rules) if decision.rule is None else decision.rule
    rule = None if decision.rule is None else rules[number]
    if decision.target is not None and rule is not None and _may_be_sent(rule):
        decision = replace(decision, status=0, why=None)  # another draw may lead to another target
    passed = [
        {"route": one.route, "rule": one.rule, "why_not": why_not(one.match, request)}
        for one in rules[: min(number, MOST_PASSED)]
    ]
    found: dict[str, Any] = {
        "kind": "HTTPRoute",
        "route": None if rule is None else rule.route,
        "rule": None if rule is None else rule.rule,
        "match": None if rule is None else words(rule.match),
        "passed_over": passed,
        "left_out": max(0, number - MOST_PASSED),
        "status": decision.status or None,
        "why": "the first rule whose match holds" if decision.why is None else _ANSWERS[decision.why],
    }
    if rule is not None and rule.filters != type(rule.filters)():
        found["filters"] = plain(rule.filters)
    return found, rule


def _may_be_sent(rule: HttpRule) -> bool:
    return any(one.weight and one.cluster is not None and not one.filters.unobeyed for one in rule.targets)


def why_not(match: Match, request: Request) -> str | None:
    """The first condition that does not hold; None: all do."""
    if takes(match, request):
        return None
    if match.method is not None and match.method != request.method:
        return f"the method is {request.method}, not {match.method}"
    if not takes(Match(path=match.path), request):
        return f"the path {request.path} is not {_path(match.path)}"
    for kind, wanted, given in (
        ("header", match.headers, request.headers),
        ("query parameter", match.parameters, request.parameters),
    ):
        for one in wanted:
            value = given.get(one.name)
            if value is None:
                return f"there is no {kind} {one.name}"
            if not _holds(one, value):
                return f"the {kind} {one.name} is not {_text(one)}"
    return "it does not match"


def words(match: Match) -> str:
    """What the match asks for."""
    parts = [] if match.method is None else [f"method {match.method}"]
    parts.append(f"path {_path(match.path)}")
    parts += [f"header {one.name} {_text(one)}" for one in match.headers]
    parts += [f"query parameter {one.name} {_text(one)}" for one in match.parameters]
    return ", ".join(parts)


def _holds(wanted: Text, value: str) -> bool:
    return value == wanted.value if wanted.kind is Kind.EXACT else regex.matches(wanted.value, value)


def _path(wanted: Path) -> str:
    match wanted.kind:
        case Kind.EXACT:
            return f"exactly {wanted.value}"
        case Kind.PREFIX:
            return f"{wanted.value} or below"
        case Kind.REGEX:
            return f"a match of the expression {wanted.value}"


def _text(wanted: Text) -> str:
    return wanted.value if wanted.kind is Kind.EXACT else f"a match of the expression {wanted.value}"
