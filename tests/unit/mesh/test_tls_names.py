"""TLSRoutes with hostnames: rules for connections by the server name that they ask for."""

from __future__ import annotations

from proxy.core.policy.policy import Rule
from tests.unit.mesh.support import endpoints, http_route, policy_of, service, tcp_route

WEB = service("web", "10.0.0.1") + endpoints("web", "10.1.0.1")
OTHERS = "".join(
    service(name, f"10.0.0.{number}") + endpoints(name, f"10.1.0.{number}") for number, name in enumerate("abc", 2)
)


def tls_route(backend: str, hostnames: str, *, name: str) -> str:
    route = http_route(f"{{backendRefs: [{{name: {backend}, port: 80}}]}}", kind="TLSRoute", name=name)
    return route.replace("rules:", f"hostnames: [{hostnames}], rules:")


def rules(text: str) -> tuple[Rule, ...]:
    return policy_of(text)[0].outbound["10.0.0.1", 80].rules


def shown(found: tuple[Rule, ...]) -> list[tuple[str, str, str]]:
    targets = [rule.targets[0].cluster for rule in found]
    names = ["" if cluster is None else cluster.service.name for cluster in targets]
    return [(",".join(rule.hostnames), rule.route, name) for rule, name in zip(found, names, strict=True)]


def test_precise_names_come_first_and_the_service_takes_the_rest() -> None:
    text = WEB + OTHERS + tls_route("a", '"*.example.com", "*.b.example.com"', name="wide")
    text += tls_route("b", "www.b.example.com", name="precise")
    assert shown(rules(text)) == [
        ("www.b.example.com", "TLSRoute shop/precise", "b"),
        ("*.b.example.com", "TLSRoute shop/wide", "a"),
        ("*.example.com", "TLSRoute shop/wide", "a"),
        ("", "", "web"),
    ]


def test_a_route_for_all_connections_takes_the_rest() -> None:
    text = WEB + OTHERS + tls_route("a", "a.b", name="names") + tcp_route("web", ("c", 1))
    assert shown(rules(text)) == [("a.b", "TLSRoute shop/names", "a"), ("", "TCPRoute shop/split", "c")]


def test_of_two_routes_for_one_name_the_older_comes_first() -> None:
    young, old = tls_route("a", "x.y", name="a-young"), tls_route("b", "x.y", name="old")
    old = old.replace("metadata: {", 'metadata: {creationTimestamp: "2026-01-01T00:00:00Z", ')
    assert [route for _, route, _ in shown(rules(WEB + OTHERS + young + old))[:2]] == [
        "TLSRoute shop/old", "TLSRoute shop/a-young",
    ]  # fmt: skip


def test_lanes_that_know_no_names_see_the_rule_for_the_rest() -> None:
    found = policy_of(WEB + OTHERS + tls_route("a", "a.b", name="names"))[0].outbound["10.0.0.1", 80]
    assert (found.route, found.targets[0].cluster is not None and found.targets[0].cluster.service.name) == ("", "web")


def test_the_first_rule_of_a_route_takes_all_its_connections() -> None:
    two = tcp_route("web", ("a", 1)).replace("rules: [", "rules: [{backendRefs: [{name: b, port: 80}]}, ")
    policy, warnings = policy_of(WEB + OTHERS + two)
    assert shown(policy.outbound["10.0.0.1", 80].rules) == [("", "TCPRoute shop/split", "b")]
    assert any("rules after the first have no effect: the first takes all" in line for line in warnings)
