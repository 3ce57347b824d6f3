"""The heads that a decision asks for: of the request as it is sent on, of its answer, and of answers of our own."""

from typing import NamedTuple

from proxy.core.decide import cors
from proxy.core.decide.request import Decision, Why
from proxy.core.policy.http import NO_FILTERS, HttpRule
from proxy.core.route.filters import HeaderEdits, Rewrite, edited, in_origin_form, location, rewritten
from proxy.core.route.match import Request

Headers = list[tuple[str, str]]


class Reached(NamedTuple):
    """How clients reach the destination; redirects keep it unless they say otherwise."""

    port: int
    scheme: str = "http"


def request_head(rule: HttpRule, decision: Decision, request: Request) -> tuple[str, Headers]:
    """The target and the headers that go upstream."""
    of_target = NO_FILTERS if decision.target is None else rule.targets[decision.target].filters
    headers = edited(edited(request.lines, rule.filters.request), of_target.request)
    rewrite = of_target.rewrite or rule.filters.rewrite
    if rewrite is None or rewrite == Rewrite():
        return request.target, headers
    if rewrite.hostname is not None:
        headers = edited(headers, HeaderEdits(set=(("Host", rewrite.hostname),)))
    if rewrite.path is None:
        return in_origin_form(request.target), headers
    return rewritten(request.target, request.path, rule.match.path, rewrite.path), headers


def answer_head(rule: HttpRule, decision: Decision, headers: Headers) -> Headers:
    """The headers that go downstream, of an answer from upstream or of a redirect."""
    headers = edited(headers, rule.filters.response)
    if decision.target is not None:
        headers = edited(headers, rule.targets[decision.target].filters.response)
    if rule.filters.cors is not None and decision.origin is not None:
        headers = edited(headers, cors.answer_headers(rule.filters.cors, decision.origin))
    return headers


def own_head(rule: HttpRule | None, decision: Decision, request: Request, reached: Reached) -> Headers:
    """The headers of an answer of our own, but for the one about the connection."""
    if rule is not None and rule.filters.cors is not None and decision.why is Why.PREFLIGHT:
        return edited([], cors.preflight_headers(rule.filters.cors, decision.origin, request))
    if rule is None or rule.filters.redirect is None or decision.why is not Why.REDIRECTED:
        return [("content-length", "0")]
    place = location(
        rule.filters.redirect,
        scheme=reached.scheme,
        authority=request.authority,
        port=reached.port,
        target=request.target,
        path=request.path,
        matched=rule.match.path,
    )
    return answer_head(rule, decision, [("content-length", "0"), ("location", place)])
