"""One table of cases: each says what must come out, and C and Python must agree on it."""

from dataclasses import dataclass

import pytest

from proxy.core.decide.request import Why
from proxy.core.policy.http import NO_FILTERS, Cors, Filters, HttpRule, HttpTarget
from proxy.core.route.filters import HeaderEdits, PathEdit, Redirect, Rewrite
from proxy.core.route.match import Kind, Match, Path, Text
from tests.unit.cext.route.both import checked, cluster
from tests.unit.cext.route.evaluator import Site


def rule(match: Match, *names: str, filters: Filters = NO_FILTERS) -> HttpRule:
    targets = tuple(HttpTarget(1, cluster(name), name=name) for name in names)
    return HttpRule(match, targets, "shop/route", "0", filters=filters)


def exact(path: str) -> Match:
    return Match(Path(Kind.EXACT, path))


def prefix(path: str) -> Match:
    return Match(Path(Kind.PREFIX, path))


def get(target: str, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: shop:8080", *lines, "", ""]).encode()


SHOP = [
    rule(exact("/cart"), "cart"),
    rule(prefix("/api/v2"), "v2"),
    rule(Match(Path(Kind.PREFIX, "/api"), method="POST"), "writer"),
    rule(Match(Path(Kind.PREFIX, "/api"), headers=(Text("x-version", "2"),)), "v2"),
    rule(Match(Path(Kind.PREFIX, "/api"), parameters=(Text("v", "a b"),)), "v2"),
    rule(prefix("/api"), "v1"),
    rule(Match(Path(Kind.REGEX, "/re+")), "regex"),
]


@pytest.mark.parametrize(
    ("head", "number"),
    [
        (get("/cart"), 0),
        (get("/x/../cart"), 0),
        (get("/%63art?x=http://a/b"), 0),
        (get("http://shop/cart"), 0),
        (get("/cart/"), None),
        (get("/api/v2"), 1),
        (get("/api/v2/x"), 1),
        (get("/api/v22"), 5),
        (get("/api/x", method="POST"), 2),
        (get("/api/x", "X-Version: 2"), 3),
        (get("/api/x", "X-Version: 2", "x-version: 3"), 5),
        (get("/api?v=a+b&v=c"), 4),
        (get("/api?v=a%20b"), 4),
        (get("/api?v=c&v=a+b"), 5),
        (get("/apis"), None),
        (get("/reee"), 6),
        (get("/"), None),
    ],
)
def test_which_rule_takes_a_request(head: bytes, number: int | None) -> None:
    assert checked(SHOP, head).rule == number


@dataclass(frozen=True)
class Case:
    filters: Filters
    head: bytes
    status: int
    why: Why | None
    has: bytes
    """Stands in the head that is sent on, or in the answer of our own."""


CASES = {
    "redirect": Case(
        Filters(redirect=Redirect(scheme="https")), get("/a?b"), 302, Why.REDIRECTED, b"location: https://shop/a?b\r\n"
    ),
    "redirect with a prefix": Case(
        Filters(redirect=Redirect(301, path=PathEdit("/z", whole=False))),
        get("/a/c?b"),
        301,
        Why.REDIRECTED,
        b"location: http://shop/z/c?b\r\n",
    ),
    "redirect of an absolute form": Case(
        Filters(redirect=Redirect(port=8443)), get("http://other:1/a"), 302, Why.REDIRECTED, b"http://other:8443/a\r\n"
    ),
    "rewrite": Case(
        Filters(rewrite=Rewrite("new.example", PathEdit("/z", whole=True))),
        get("/a/c?b"),
        0,
        None,
        b"GET /z?b HTTP/1.1\r\nHost: new.example\r\n",
    ),
    "rewritten prefix": Case(
        Filters(rewrite=Rewrite(path=PathEdit("/", whole=False))),
        get("/a"),
        0,
        None,
        b"GET / HTTP/1.1\r\nHost: shop:8080",
    ),
    "headers": Case(
        Filters(request=HeaderEdits(set=(("X-A", "1"),), add=(("X-B", "2"),), remove=("cookie",))),
        get("/a", "x-a:  9", "Cookie: c", "Kept:   as it came"),
        0,
        None,
        b"X-A: 1\r\nKept:   as it came\r\nX-B: 2\r\n\r\n",
    ),
    "preflight": Case(
        Filters(cors=Cors(("https://*.example",), allow_methods=("GET", "PUT"))),
        get("/a", "Origin: https://a.b.example", "Access-Control-Request-Method: PUT", method="OPTIONS"),
        204,
        Why.PREFLIGHT,
        b"access-control-allow-origin: https://a.b.example\r\naccess-control-allow-methods: GET, PUT\r\n",
    ),
    "a filter that is not obeyed": Case(
        Filters(unobeyed=("ExternalAuth",)), get("/a"), 500, Why.UNOBEYED, b"HTTP/1.1 500 Internal Server Error\r\n"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_filters_do(name: str) -> None:
    case = CASES[name]
    rules = [rule(prefix("/a"), "v1", filters=case.filters)]
    decision = checked(rules, case.head)
    assert (decision.status, decision.why) == (case.status, case.why)
    site = Site(rules)
    outcome = site.decide(case.head)
    site.close()
    assert case.has in (outcome.answer if case.status else outcome.request)


@pytest.mark.parametrize(
    ("targets", "why"),
    [
        ((), Why.NO_BACKEND),
        ((HttpTarget(0, cluster("a")),), Why.NO_BACKEND),
        ((HttpTarget(1, None, "shop/gone is not there"),), Why.UNRESOLVED),
    ],
)
def test_without_a_backend_a_request_gets_500(targets: tuple[HttpTarget, ...], why: Why) -> None:
    decision = checked([HttpRule(prefix("/"), targets, "shop/route", "0")], get("/"))
    assert (decision.status, decision.why) == (500, why)


def test_weights_hold() -> None:
    targets = (HttpTarget(90, cluster("v1")), HttpTarget(10, cluster("v2")), HttpTarget(0, cluster("v3")))
    rules = [HttpRule(prefix("/"), targets, "shop/route", "0")]
    chosen = [checked(rules, get("/"), random * 0x9E3779B9).target for random in range(1000)]
    assert 870 <= chosen.count(0) <= 930
    assert chosen.count(0) + chosen.count(1) == 1000


def test_an_expression_behind_the_rule_that_wins_is_not_asked_for() -> None:
    site = Site([rule(prefix("/a"), "a"), rule(Match(Path(Kind.REGEX, ".*")), "b")])
    assert site.decide(get("/a")).kind == "forward"
    assert site.decide(get("/b")).kind == "ask"
    site.close()


def test_a_site_that_always_asks_asks() -> None:
    site = Site([rule(prefix("/a"), "a")], ask_always=True)
    assert site.decide(get("/a")).kind == "ask"
    site.close()


def test_escapes_are_compared_in_capitals() -> None:
    rules = [rule(exact("/x%2Fy"), "a")]
    assert checked(rules, get("/x%2fy")).rule == 0
    site = Site(rules)
    assert site.decide(get("/x%2fy")).kind == "forward"
    site.close()


@pytest.mark.parametrize("target", ["/cart/.", "/cart/x/..", "/cart/%2e", "/cart/"])
def test_a_path_that_ends_in_dots_ends_in_a_slash(target: str) -> None:
    rules = [rule(exact("/cart/"), "a")]
    assert checked(rules, get(target)).rule == 0
