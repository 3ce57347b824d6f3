"""What a rule of a route does to its requests: filters, timeouts, retries, sessions; and calls of gRPC."""

from __future__ import annotations

import pytest

from mesh.compile import filters as filters_module
from mesh.compile import http_routes as http_routes_module
from mesh.compile import l4_routes as l4_routes_module
from mesh.yaml.problems import ConfigError
from proxy.core.policy.http import Cors, Filters, HttpRule, Persistence, RuleTimeouts
from proxy.core.policy.settings import Failure, Retries
from proxy.core.route.filters import HeaderEdits, PathEdit, Redirect, Rewrite
from proxy.core.route.match import Kind, Match, Path, Request, Text, takes
from tests.unit.mesh.support import http_route, policy_of, traffic_policy
from tests.unit.mesh.test_http_routes import TO_WEB, V2, WEB, rules_of

BACKEND_TLS = """
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: b, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  validation: {wellKnownCACertificates: System, hostname: web.example.com}
"""


def rule_of(rule: str, extra: str = "") -> HttpRule:
    (found,), _ = rules_of(WEB + V2 + http_route(f"{{{rule}}}") + extra)
    return found


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-A, value: '1'}, {name: x-a, value: '2'}],"
         " add: [{name: b, value: c}], remove: [X-Gone]}",
         Filters(request=HeaderEdits((("X-A", "1"),), (("b", "c"),), ("x-gone",)))),
        ("type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: a, value: b}]}",
         Filters(response=HeaderEdits(set=(("a", "b"),)))),
        ("type: URLRewrite, urlRewrite: {hostname: a.b, path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}",
         Filters(rewrite=Rewrite("a.b", PathEdit("/x", whole=False)))),
        ("type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /y}}",
         Filters(rewrite=Rewrite(None, PathEdit("/y", whole=True)))),
    ],
)  # fmt: skip
def test_filters_of_a_rule_and_of_a_backend(spec: str, expected: Filters) -> None:
    assert rule_of(f"filters: [{{{spec}}}], {TO_WEB}").filters == expected
    backend = f"backendRefs: [{{name: web, port: 80, filters: [{{{spec}}}]}}]"
    assert rule_of(backend).targets[0].filters == expected
    assert rule_of(backend).filters == Filters()


def test_a_redirect_needs_no_backend() -> None:
    path = "path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}"
    redirect = f"requestRedirect: {{scheme: https, hostname: a.b, port: 8443, statusCode: 308, {path}}}"
    found = rule_of(f"filters: [{{type: RequestRedirect, {redirect}}}]")
    assert found.filters.redirect == Redirect(308, "https", "a.b", 8443, PathEdit("/new", whole=False))
    assert found.targets == ()


@pytest.mark.parametrize(
    ("share", "expected"),
    [("", (100, 100)), (", percent: 5", (5, 100)), (", fraction: {numerator: 1, denominator: 1000}", (1, 1000))],
)
def test_a_mirror_has_a_share_of_the_requests(
    share: str, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters_module, "FILTERS_NOT_IN_FORCE", frozenset())
    mirror = f"{{type: RequestMirror, requestMirror: {{backendRef: {{name: v2, port: 80}}{share}}}}}"
    found = rule_of(f"filters: [{mirror}, {mirror}], {TO_WEB}").filters
    assert len(found.mirrors) == 2
    assert found.mirrors[0].cluster is not None
    assert found.mirrors[0].cluster.service.name == "v2"
    assert found.mirrors[0][1:3] == expected
    assert found.unobeyed == ()


def test_a_mirror_that_leads_nowhere_says_why() -> None:
    mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}"
    (found,), warnings = rules_of(WEB + http_route(f"{{filters: [{mirror}], {TO_WEB}}}"))
    assert (found.filters.mirrors[0].cluster, found.filters.mirrors[0].unresolved) == (
        None,
        "Service shop/gone is not here",
    )
    assert any("requestMirror: Service shop/gone is not here: nothing is mirrored" in line for line in warnings)


def test_cors_is_read_whole() -> None:
    spec = (
        "allowOrigins: ['https://*.example.com'], allowCredentials: true, allowMethods: [GET, PUT],"
        " allowHeaders: [X-A], exposeHeaders: ['*'], maxAge: 60"
    )
    found = rule_of(f"filters: [{{type: CORS, cors: {{{spec}}}}}], {TO_WEB}").filters.cors
    assert found == Cors(("https://*.example.com",), True, ("GET", "PUT"), ("X-A",), ("*",), 60)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("ExtensionRef", "extensionRef: {group: example.com, kind: Own, name: x}"),
        ("ExternalAuth", "externalAuth: {protocol: HTTP, backendRef: {name: v2, port: 80}, http: {path: /auth}}"),
    ],
)
def test_requests_for_a_filter_that_is_not_obeyed_can_be_answered_500(kind: str, fields: str) -> None:
    (found,), warnings = rules_of(WEB + V2 + http_route(f"{{filters: [{{type: {kind}, {fields}}}], {TO_WEB}}}"))
    assert found.filters.unobeyed == (kind,)
    assert any(f"filter {kind} is not obeyed in this version" in line and "500" in line for line in warnings)


def test_timeouts_and_retries_of_a_rule() -> None:
    found = rule_of(f"timeouts: {{request: 10s, backendRequest: 0s}}, {TO_WEB}")
    assert (found.timeouts, found.retries) == (RuleTimeouts(10.0, 0.0), None)
    found = rule_of(f"retry: {{codes: [500, 503], attempts: 4, backoff: 100ms}}, {TO_WEB}")
    assert found.retries == Retries(4, statuses=frozenset({500, 503}), backoff_base_s=0.1, backoff_max_s=1.0)


def test_a_rules_retries_start_from_the_policys() -> None:
    policy = traffic_policy("web", "retries: {attempts: 7, retryOn: [reset], bufferBytes: 1, backoff: {max: 5s}}")
    found = rule_of(f"retry: {{codes: [418]}}, {TO_WEB}", policy).retries
    assert found == Retries(
        7, failures=frozenset({Failure.RESET}), statuses=frozenset({418}), buffer_bytes=1, backoff_max_s=5.0
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("sessionName: s", Persistence("s")),
        ("type: Header, sessionName: X-S, idleTimeout: 5m", Persistence("X-S", header=True, idle_s=300.0)),
        ("type: Header, header: {name: X-T}", Persistence("X-T", header=True)),
        ("cookie: {name: c, path: /p}", Persistence("c", path="/p")),
        ("absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}",
         Persistence("tidegate-session", permanent=True, absolute_s=3600.0)),
    ],
)  # fmt: skip
def test_sessions_in_both_published_forms(spec: str, expected: Persistence) -> None:
    assert rule_of(f"sessionPersistence: {{{spec}}}, {TO_WEB}").persistence == expected


@pytest.mark.parametrize(
    ("method", "path", "takes_too", "not_taken"),
    [
        ("{service: a.B, method: Do}", Path(Kind.EXACT, "/a.B/Do"), "/a.B/Do", "/a.B/Done"),
        ("{service: a.B}", Path(Kind.PREFIX, "/a.B"), "/a.B/Other", "/a.Bc/Do"),
        ("{method: Do}", Path(Kind.REGEX, "/[^/]+/Do"), "/any.Service/Do", "/a/b/Do"),
        (
            "{type: RegularExpression, service: 'a|b', method: 'X.*'}",
            Path(Kind.REGEX, "/(?:a|b)/(?:X.*)"),
            "/b/Xy",
            "/a",
        ),
        ("{type: RegularExpression, method: 'X'}", Path(Kind.REGEX, "/[^/]+/(?:X)"), "/b/X", "/b/XX"),
    ],
)
def test_a_grpc_call_is_a_post(method: str, path: Path, takes_too: str, not_taken: str) -> None:
    route = http_route(
        f"{{matches: [{{method: {method}, headers: [{{name: X-A, value: b}}]}}], {TO_WEB}}}", kind="GRPCRoute"
    )
    (found,), _ = rules_of(WEB + route)
    assert (found.match, found.kind) == (Match(path, headers=(Text("x-a", "b"),), method="POST"), "GRPCRoute")
    for target, expected in ((takes_too, True), (not_taken, False)):
        assert takes(found.match, Request("POST", target, [("x-a", "b")])) is expected


def test_a_grpc_rule_without_a_method_takes_every_call() -> None:
    (found,), _ = rules_of(WEB + http_route(f"{{{TO_WEB}}}", kind="GRPCRoute"))
    assert found.match == Match(method="POST")


def test_paths_are_compared_as_those_of_requests_are_but_expressions_stay_as_they_are() -> None:
    kinds = ("Exact", "PathPrefix", "RegularExpression")
    found = [rule_of(f"matches: [{{path: {{type: {kind}, value: /%7ea}}}}], {TO_WEB}").match.path for kind in kinds]
    assert found == [Path(Kind.EXACT, "/~a"), Path(Kind.PREFIX, "/~a"), Path(Kind.REGEX, "/%7ea")]


@pytest.mark.parametrize("pending", [True, False])
def test_what_no_lane_obeys_is_named_and_nothing_else(pending: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"HTTPRoute", "sessionPersistence", "TLSRoute.hostnames", "BackendTLSPolicy"} if pending else set()
    for module in (http_routes_module, l4_routes_module):
        monkeypatch.setattr(module, "ROUTES_NOT_IN_FORCE", frozenset(names))
    monkeypatch.setattr(filters_module, "FILTERS_NOT_IN_FORCE", frozenset({"CORS"} if pending else ()))
    rule = f"{{filters: [{{type: CORS, cors: {{}}}}], sessionPersistence: {{sessionName: s}}, {TO_WEB}}}"
    text = WEB + http_route(rule)
    text += http_route(f"{{{TO_WEB}}}", kind="TLSRoute", name="t").replace("rules:", "hostnames: [a.b], rules:")
    text += BACKEND_TLS
    _, warnings = policy_of(text)
    told = [line.partition("warning: ")[2] for line in warnings]
    if not pending:
        assert told == []
        return
    assert [one.partition(" is not obeyed in this version")[0] for one in told] == [
        "HTTPRoute shop/route",
        "HTTPRoute shop/route: filter CORS",
        "HTTPRoute shop/route: sessionPersistence",
        "TLSRoute shop/t",
        "BackendTLSPolicy shop/b",
    ]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("matches: [{path: {type: RegularExpression, value: '(?=x)'}}]", "value: '(?=x)' is not valid: a regular"),
        ("matches: [{headers: [{type: RegularExpression, name: a, value: '('}]}]", "value: '(' is not valid"),
        ("matches: [{queryParams: [{type: RegularExpression, name: a, value: '\\1'}]}]", "is not valid: a regular"),
        ("matches: [{path: {value: /a/../b}}]", "'/a/../b' is not valid: an absolute path"),
        ("matches: [{path: {value: '/a b'}}]", "'/a b' is not valid: an absolute path"),
        ("timeouts: {request: 1s, backendRequest: 2s}", "backendRequest: '2s' is not valid: at most request's 1s"),
        *(
            (f"filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{{how}: [{{name: a, value: {v}}}]}}}}]",
             "is not valid: a header's value")
            for how in ("set", "add") for v in (r'"a\r\nx-b: c"', r'"a\nb"', r'"a\0"', r'"a\rb"', "''")
        ),
        *(
            (f"filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{{edit}}}}}]", "an HTTP header name")
            for edit in ("set: [{name: 'a b', value: c}]", r'add: [{name: "a\n", value: c}]', "remove: ['a:']")
        ),
        (r'filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: "/a\nb"}}}]',
         "is not valid: a path"),
        ("filters: [{type: CORS, cors: {allowMethods: ['*', GET]}}]", "allowMethods: '*' is not valid beside"),
        ("filters: [{type: CORS, cors: {allowOrigins: [example.com]}}]", "allowOrigins: 'example.com' is not valid"),
        ("filters: [{type: CORS, cors: {}}, {type: CORS, cors: {}}]", "a second CORS is not valid"),
        ("matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path:"
         " {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]", "exactly one match, of type PathPrefix"),
        ("sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}", "absoluteTimeout: is missing"),
        ("sessionPersistence: {sessionName: 'a b'}", "is not valid: a name that a cookie or a header may have"),
        ("sessionPersistence: {cookie: {path: '/a;b'}}", "is not valid: a cookie's path"),
        ("sessionPersistence: {type: Header, cookie: {name: a}}", "cookie: is not allowed with type Header"),
        ("retry: {codes: [200]}", "codes[0]"),
    ],
)  # fmt: skip
def test_what_an_api_server_would_refuse_is_refused(rule: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        policy_of(WEB + http_route(f"{{{rule}}}"))
    assert any(told in str(one) and str(one).startswith("f.yaml:") for one in refused.value.problems), refused.value
