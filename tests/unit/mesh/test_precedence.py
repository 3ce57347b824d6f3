"""Merged rules are in Gateway API's order: the first that takes a request is the one that its text chooses."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.policy.http import HttpRule
from proxy.core.route.match import Request, takes
from tests.unit.mesh.support import http_route
from tests.unit.mesh.test_http_routes import TO_WEB, WEB, rules_of

PATHS = ["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c"]
TYPES = {"Exact": 0, "PathPrefix": 1, "RegularExpression": 2}


@dataclass(frozen=True)
class Written:
    """A match as a route has it."""

    kind: str
    path: str
    method: str
    headers: int
    parameters: int

    def text(self) -> str:
        headers = ", ".join(f"{{name: h{n}, value: x}}" for n in range(self.headers))
        parameters = ", ".join(f"{{name: p{n}, value: x}}" for n in range(self.parameters))
        method = f", method: {self.method}" if self.method else ""
        return (
            f"{{path: {{type: {self.kind}, value: {self.path}}}, headers: [{headers}],"
            f" queryParams: [{parameters}]{method}}}"
        )

    def specific(self) -> tuple[int, ...]:
        """Higher is more specific: exact paths, the longest prefix, a method, more headers, more parameters."""
        length = len(self.path.rstrip("/")) if self.kind == "PathPrefix" else len(self.path)
        return -TYPES[self.kind], length, bool(self.method), self.headers, self.parameters


matches = st.builds(
    Written,
    st.sampled_from(list(TYPES)),
    st.sampled_from(PATHS),
    st.sampled_from(["", "GET", "POST"]),
    st.integers(0, 2),
    st.integers(0, 2),
)
routes = st.lists(
    st.tuples(
        st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
        st.lists(st.lists(matches, min_size=1, max_size=3), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=3,
)
requests = st.builds(
    lambda method, path, headers, query: Request(
        method,
        path + ("?" + "&".join(f"p{n}=x" for n in range(query)) if query else ""),
        [(f"H{n}", "x") for n in range(headers)],
    ),
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(PATHS),
    st.integers(0, 2),
    st.integers(0, 2),
)


@settings(deadline=None, max_examples=200)  # the machine may be busy
@given(routes, st.lists(requests, min_size=1, max_size=6))
def test_the_first_rule_that_takes_a_request_is_the_one_that_gateway_api_chooses(
    written: list[tuple[str, list[list[Written]]]], asked: list[Request]
) -> None:
    text = WEB
    ranks: dict[tuple[str, str], tuple[object, ...]] = {}
    for number, (created, rules) in enumerate(written):
        items = ", ".join(
            f"{{name: r{n}, matches: [{', '.join(one.text() for one in rule)}], {TO_WEB}}}"
            for n, rule in enumerate(rules)
        )
        route = http_route(items, name=f"route{number}")
        text += route.replace("metadata: {", f'metadata: {{creationTimestamp: "{created}", ') if created else route
        for n in range(len(rules)):
            ranks[f"shop/route{number}", f"r{n}"] = (created or "9999", number, n)
    found, _ = rules_of(text)
    assert len(found) == sum(len(rule) for _, rules in written for rule in rules)
    for request in asked:
        chosen = next((rule for rule in found if takes(rule.match, request)), None)
        taking = [rule for rule in found if takes(rule.match, request)]
        if chosen is None:
            assert taking == []
            continue
        best = max(map(_specific, taking))
        first = min(ranks[rule.route, rule.rule] for rule in taking if _specific(rule) == best)
        assert (_specific(chosen), ranks[chosen.route, chosen.rule]) == (best, first)


def _specific(rule: HttpRule) -> tuple[int, ...]:
    match = rule.match
    kinds = {"exact": "Exact", "prefix": "PathPrefix", "regex": "RegularExpression"}
    return Written(
        kinds[str(match.path.kind)], match.path.value, match.method or "", len(match.headers), len(match.parameters)
    ).specific()
