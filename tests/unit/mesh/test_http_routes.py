"""HTTPRoutes -> rules: whose requests they take, in which order, and where the requests go."""

from __future__ import annotations

import pytest

from proxy.core.policy.http import HttpRule, HttpTarget
from proxy.core.route.match import Kind, Match, Path, Request, Text, first
from tests.unit.mesh.support import endpoints, grant, http_route, policy_of, service, tcp_route

WEB = service("web", "10.0.0.1") + endpoints("web", "10.1.0.1")
V2 = service("v2", "10.0.0.2") + endpoints("v2", "10.1.0.2")
TO_WEB = "backendRefs: [{name: web, port: 80}]"


def rules_of(text: str, namespace: str | None = None, port: int = 80) -> tuple[tuple[HttpRule, ...], list[str]]:
    policy, warnings = policy_of(text, namespace)
    return policy.outbound["10.0.0.1", port].http_rules, warnings


def clusters(rule: HttpRule) -> list[tuple[int, str | None]]:
    return [(one.weight, None if one.cluster is None else one.cluster.name.split("|")[3].split(".")[0])
            for one in rule.targets]  # fmt: skip


def taken(rules: tuple[HttpRule, ...], method: str, target: str, **headers: str) -> str | None:
    """The name of the rule that takes the request."""
    index = first((rule.match for rule in rules), Request(method, target, list(headers.items())))
    return None if index is None else rules[index].rule


def test_without_a_route_there_are_no_rules() -> None:
    assert rules_of(WEB)[0] == ()


def test_a_match_becomes_a_rule_each_with_the_rules_targets() -> None:
    matches = "matches: [{path: {type: Exact, value: /a}}, {path: {value: /b}, method: GET}]"
    backends = "backendRefs: [{name: web, port: 80, weight: 90}, {name: v2, port: 80, weight: 10}]"
    text = WEB + V2 + http_route(f"{{name: named, {matches}, {backends}}}")
    found, _ = rules_of(text)
    assert [rule.match for rule in found] == [
        Match(Path(Kind.EXACT, "/a")),
        Match(Path(Kind.PREFIX, "/b"), method="GET"),
    ]
    assert {(rule.route, rule.rule, rule.kind) for rule in found} == {("shop/route", "named", "HTTPRoute")}
    assert [clusters(rule) for rule in found] == [[(90, "web"), (10, "v2")]] * 2
    assert [target.name for target in found[0].targets] == ["web", "v2"]


def test_headers_are_compared_in_lower_case_and_the_first_of_a_name_counts() -> None:
    match = (
        "{headers: [{name: X-A, value: one}, {name: x-a, value: two}],"
        " queryParams: [{name: Q, value: 'v.', type: RegularExpression}],"
        " path: {type: RegularExpression, value: '/x+'}}"
    )
    (rule,), _ = rules_of(WEB + http_route(f"{{matches: [{match}], {TO_WEB}}}"))
    assert rule.match == Match(
        Path(Kind.REGEX, "/x+"), headers=(Text("x-a", "one"),), parameters=(Text("Q", "v.", Kind.REGEX),)
    )


def test_rules_of_several_routes_are_asked_by_precedence() -> None:
    old = http_route(
        f"{{name: root, {TO_WEB}}}, {{name: longer, matches: [{{path: {{value: /a/b}}}}], {TO_WEB}}}", name="z"
    )
    young = http_route(
        f"{{name: exact, matches: [{{path: {{type: Exact, value: /a/b}}}}], {TO_WEB}}},"
        f" {{name: header, matches: [{{path: {{value: /a/b}}, headers: [{{name: x, value: y}}]}}], {TO_WEB}}},"
        f" {{name: late, {TO_WEB}}}", name="y",
    ).replace("metadata: {", 'metadata: {creationTimestamp: "2026-01-01T00:00:00Z", ')  # fmt: skip
    found, _ = rules_of(WEB + old + young)
    assert [rule.rule for rule in found] == ["exact", "header", "longer", "late", "root"]
    assert taken(found, "GET", "/a/b") == "exact"
    assert taken(found, "GET", "/a/b/c") == "longer"
    assert taken(found, "GET", "/a/b/c", x="y") == "header"
    assert taken(found, "GET", "/") == "late"


def test_a_request_may_match_no_rule() -> None:
    found, _ = rules_of(WEB + http_route(f"{{matches: [{{path: {{value: /only}}}}], {TO_WEB}}}"))
    assert (taken(found, "GET", "/only/this"), taken(found, "GET", "/onlythis")) == ("0", None)


def test_a_route_is_attached_to_the_ports_that_its_parent_reference_names() -> None:
    two = service("web", "10.0.0.1", port="port: 80, name: http-a}, {port: 81, name: http-b")
    route = "{backendRefs: [{name: web, port: 80}]}"
    for parent, expected in (
        ("web", (1, 1)), ("web, port: 81", (0, 1)), ("web, sectionName: http-a", (1, 0)),
        ("web, port: 80, sectionName: http-b", (0, 0)), ("web, port: 82", (0, 0)),
    ):  # fmt: skip
        policy, warnings = policy_of(two + http_route(route, parent=parent))
        if "http-b" in parent:
            assert "Service shop/web has no TCP port 80 named 'http-b': no effect" in warnings[-1]
        assert tuple(len(policy.outbound["10.0.0.1", port].http_rules) for port in (80, 81)) == expected
        assert any("no effect" in line and "parentRefs" in line for line in warnings) is (expected == (0, 0))


def test_host_names_of_a_route_mean_nothing_for_a_service() -> None:
    text = WEB + http_route(f"{{{TO_WEB}}}").replace("spec: {", "spec: {hostnames: [nowhere.example.com], ")
    (rule,), _ = rules_of(text)
    assert rule.match == Match()


def test_a_route_for_a_gateway_is_reported_and_skipped() -> None:
    route = http_route(f"{{{TO_WEB}}}").replace('{group: "", kind: Service, name: web}', "{name: web}")
    found, warnings = rules_of(WEB + route)
    assert found == ()
    assert any("f.yaml:" in line and "Gateway of group 'gateway.networking.k8s.io'" in line for line in warnings)


def test_a_consumers_route_acts_in_its_own_namespace_alone_and_is_asked_first() -> None:
    far = service("far", "10.0.0.9", namespace="caller") + endpoints("far", "10.1.9.9", namespace="caller")
    producer = http_route(f"{{name: producer, matches: [{{path: {{type: Exact, value: /}}}}], {TO_WEB}}}")
    consumer = http_route(
        "{name: consumer, backendRefs: [{name: far, port: 80}]}", parent="web, namespace: shop", namespace="caller",
    )  # fmt: skip
    for namespace in (None, "shop", "elsewhere"):
        found, warnings = rules_of(WEB + far + producer + consumer, namespace)
        assert [rule.rule for rule in found] == ["producer"]
        assert any("is a route for the workloads of caller only" in line for line in warnings)
    found, _ = rules_of(WEB + far + producer + consumer, "caller")
    assert [rule.rule for rule in found] == ["consumer", "producer"]


def test_only_the_virtual_side_of_a_service_has_rules() -> None:
    headless = service("web", "None") + endpoints("web", "10.1.0.1") + http_route(f"{{{TO_WEB}}}")
    policy, warnings = policy_of(headless)
    assert policy.outbound["10.1.0.1", 8080].http_rules == ()
    assert any("is headless" in line for line in warnings)
    policy, _ = policy_of(WEB + http_route(f"{{{TO_WEB}}}"))
    assert policy.inbound["10.1.0.1", 8080].http_rules == ()
    assert ("10.1.0.1", 8080) not in policy.outbound


@pytest.mark.parametrize(
    ("ref", "extra", "why"),
    [
        ("{name: gone, port: 80, weight: 3}", "", "Service shop/gone is not here"),
        ("{name: web, port: 99, weight: 3}", "", "has no TCP port 99"),
        ("{name: x, kind: Bucket, group: example.com, weight: 3}", "", "Bucket of group 'example.com' is no Service"),
        ("{name: far, namespace: other, port: 80, weight: 3}", "", "no ReferenceGrant in other"),
        ("{name: far, namespace: other, port: 80, weight: 3}", grant("GRPCRoute"), "no ReferenceGrant in other"),
        ("{name: far, namespace: other, port: 80, weight: 3}", grant("HTTPRoute", name="near"), "no ReferenceGrant"),
    ],
)
def test_a_backend_that_leads_nowhere_keeps_its_share_of_requests(ref: str, extra: str, why: str) -> None:
    far = service("far", "10.0.0.9", namespace="other") + endpoints("far", "10.1.9.9", namespace="other")
    text = WEB + far + extra + http_route(f"{{backendRefs: [{{name: web, port: 80}}, {ref}]}}")
    (rule,), warnings = rules_of(text)
    bad = rule.targets[1]
    assert (bad.weight, bad.cluster) == (3, None)
    assert why in bad.unresolved
    assert any(why in line and "its share of the requests is answered 500" in line for line in warnings)


@pytest.mark.parametrize("name", ["", "far"])
@pytest.mark.parametrize("more", [False, True])
def test_a_grant_opens_another_namespaces_service(name: str, more: bool) -> None:
    """Also beside other things that the same grant, or another one, opens."""
    far = service("far", "10.0.0.9", namespace="other") + endpoints("far", "10.1.9.9", namespace="other")
    route = http_route("{backendRefs: [{name: far, namespace: other, port: 80}]}")
    given = grant("HTTPRoute", name=name)
    if more:
        given = given.replace("from: [", "from: [{group: x.io, kind: Y, namespace: z}, ")
        given = given.replace("to: [", 'to: [{group: "", kind: Secret}, ') + grant("TCPRoute").replace(
            "name: g,", "name: f,"
        )
    (rule,), _ = rules_of(WEB + far + route + given)
    assert clusters(rule) == [(1, "far")]


def test_weights_may_all_be_zero_and_a_rule_may_have_no_backend() -> None:
    found, _ = rules_of(WEB + http_route("{backendRefs: [{name: web, port: 80, weight: 0}]}, {matches: []}"))
    assert [clusters(rule) for rule in found] == [[(0, "web")], []]


def test_each_family_has_clusters_of_its_own() -> None:
    both = service("web", "10.0.0.1", spec="externalIPs: ['fd00::1'], ")
    text = both + endpoints("web", "10.1.0.1") + endpoints("web", "fd00:1::1") + http_route(f"{{{TO_WEB}}}")
    policy, _ = policy_of(text)
    wanted = [["10.1.0.1"], ["fd00:1::1"]]
    assert [[one.ip for one in cluster.endpoints] for cluster in policy.clusters] == wanted
    for ip, endpoint in (("10.0.0.1", "10.1.0.1:8080"), ("fd00::1", "[fd00:1::1]:8080")):
        (target,) = policy.outbound[ip, 80].http_rules[0].targets
        assert target.cluster is not None
        assert [str(one) for one in target.cluster.endpoints] == [endpoint]


def test_requests_and_connections_of_a_port_may_both_have_a_route() -> None:
    policy, _ = policy_of(WEB + V2 + http_route(f"{{{TO_WEB}}}") + tcp_route("web", ("v2", 1)))
    both = policy.outbound["10.0.0.1", 80]
    assert (both.route, len(both.http_rules), both.l7_routes) == ("TCPRoute shop/split", 1, ("HTTPRoute shop/route",))
    assert isinstance(both.http_rules[0].targets[0], HttpTarget)


def test_what_rules_say_is_in_the_digest() -> None:
    def digest(rule: str) -> str:
        return policy_of(WEB + V2 + http_route(f"{{{rule}}}"))[0].digest

    def weighted(name: str, weight: int, more: str = "") -> str:
        return f"backendRefs: [{{name: {name}, port: 80, weight: {weight}{more}}}]"

    edit = "{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [x]}}"
    ref = "{type: RequestMirror, requestMirror: {backendRef: {name: NAME, port: 80}}}"
    mirrors = [ref.replace("NAME", name) for name in ("web", "v2")]
    said = [
        weighted("web", 1), weighted("web", 2), weighted("v2", 1), weighted("gone", 1),
        weighted("web", 1, f", filters: [{edit}]"), f"filters: [{edit}], {weighted('web', 1)}",
        *(f"filters: [{mirror}], {weighted('web', 1)}" for mirror in mirrors),
        f"name: r, {weighted('web', 1)}", f"timeouts: {{request: 1s}}, {weighted('web', 1)}",
    ]  # fmt: skip
    assert len({digest(rule) for rule in said}) == len(said)
    assert digest(said[0]) == digest(said[0])
