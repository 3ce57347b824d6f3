"""What is known of endpoints: labels for subsets, localities, hints, nodes."""

from __future__ import annotations

import pytest

from mesh.compile.compiler import Compiler
from mesh.compile.home import Home
from mesh.documents import read_text, together
from mesh.yaml.problems import ConfigError, Problems
from proxy.core.policy.cluster import Cluster, Locality
from proxy.core.policy.policy import Policy
from tests.unit.mesh.support import http_route, pod, policy_of, service, tcp_route, traffic_policy

SUBSETS = traffic_policy("web", "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]")


def slice_of(endpoints: str, *, name: str = "web-1", labels: str = "") -> str:
    return (
        f"\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, namespace: shop,"
        f" labels: {{kubernetes.io/service-name: web{labels}}}}}\naddressType: IPv4\nports: [{{port: 8080}}]\n"
        f"endpoints: [{endpoints}]\n"
    )


def on_pods(*numbers: int) -> str:
    refs = (f"{{addresses: [10.1.0.{n}], targetRef: {{kind: Pod, name: p{n}, namespace: shop}}}}" for n in numbers)
    return slice_of(", ".join(refs))


def subset_route(subset: str, kind: str = "HTTPRoute") -> str:
    return http_route(f"{{backendRefs: [{{group: tidegate.dev, kind: Subset, name: {subset}, port: 80}}]}}", kind=kind)


def compiled(text: str, home: Home) -> tuple[Policy, list[str]]:
    problems = Problems()
    policy = Compiler(home).compile(together([read_text("f.yaml", text)], problems), problems).policy
    problems.refuse_if_any()
    return policy, [str(one) for one in problems]


def endpoints_of(cluster: Cluster | None) -> list[str]:
    assert cluster is not None
    return [one.ip for one in cluster.endpoints]


def own(policy: Policy) -> Cluster | None:
    return policy.outbound["10.0.0.1", 80].targets[0].cluster


WEB = service("web", "10.0.0.1")


def test_a_subset_has_the_endpoints_whose_pods_have_its_labels() -> None:
    pods = pod("p1", "version: v1") + pod("p2", "version: v2, x: y") + pod("p3", "version: v2")
    policy, _ = policy_of(WEB + SUBSETS + on_pods(1, 2, 3) + pods + subset_route("v2.web"))
    (rule,) = policy.outbound["10.0.0.1", 80].http_rules
    assert endpoints_of(rule.targets[0].cluster) == ["10.1.0.2", "10.1.0.3"]
    assert rule.targets[0].name == "v2.web"
    assert [one.name for one in policy.clusters] == [
        f"outbound|80|{name}|web.shop.svc.cluster.local" for name in ("v1", "v2", "")
    ]
    assert endpoints_of(own(policy)) == ["10.1.0.1", "10.1.0.2", "10.1.0.3"]


def test_labels_of_a_slice_hold_for_its_endpoints_and_a_pods_win() -> None:
    text = WEB + SUBSETS + subset_route("v1.web")
    text += slice_of("{addresses: [10.1.0.1]}", labels=", version: v1")
    text += slice_of(
        "{addresses: [10.1.0.2], targetRef: {kind: Pod, name: p2}}, {addresses: [10.1.0.3]}",
        name="web-2", labels=", version: v2",
    )  # fmt: skip
    policy, _ = policy_of(text + pod("p2", "version: v1"))
    assert endpoints_of(policy.outbound["10.0.0.1", 80].http_rules[0].targets[0].cluster) == ["10.1.0.1", "10.1.0.2"]


def test_connections_may_go_to_a_subset_too() -> None:
    route = tcp_route("web", ("v1.web", 1)).replace("{name: v1.web", "{group: tidegate.dev, kind: Subset, name: v1.web")
    policy, _ = policy_of(WEB + SUBSETS + on_pods(1, 2) + pod("p1", "version: v1") + route)
    assert endpoints_of(own(policy)) == ["10.1.0.1"]


def test_a_subset_without_an_endpoint_is_named() -> None:
    policy, warnings = policy_of(WEB + SUBSETS + on_pods(1) + pod("p1", "version: v1") + subset_route("v2.web"))
    assert endpoints_of(policy.outbound["10.0.0.1", 80].http_rules[0].targets[0].cluster) == []
    assert any("no endpoint of port 80 has the labels of subset 'v2'" in line for line in warnings)
    assert not any("subset 'v1'" in line for line in warnings)


@pytest.mark.parametrize("policy", [SUBSETS, ""])
def test_a_subset_that_no_policy_has_is_refused_with_its_place(policy: str) -> None:
    with pytest.raises(ConfigError) as refused:
        policy_of(WEB + on_pods(1) + subset_route("v3.web") + policy)
    (error,) = [str(one) for one in refused.value.problems if one.severity == "error"]
    assert error.startswith(
        "f.yaml:20: HTTPRoute shop/route: backendRefs: 'v3.web' is not valid: no TrafficPolicy gives"
    )
    assert ("there are: v1, v2" if policy else "there are: none") in error


@pytest.mark.parametrize(("name", "told"), [("v1", "SUBSET.SERVICE"), ("v1.web, port: null", "port: is missing")])
def test_a_subset_is_named_with_its_service_and_port(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        policy_of(WEB + SUBSETS + on_pods(1) + subset_route(name).replace(", port: null, port: 80", ""))


def test_localities_come_from_slices_where_they_have_a_say() -> None:
    labels = "{topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: old, topology.istio.io/subzone: s}"
    text = WEB + slice_of(
        f"{{addresses: [10.1.0.1], zone: z1, deprecatedTopology: {labels}}}, {{addresses: [10.1.0.2], zone: z2}},"
        " {addresses: [10.1.0.3]}"
    )
    wanted, without = (
        own(policy_of(text + more)[0]) for more in (traffic_policy("web", "loadBalancer: {localityLbSetting: {}}"), "")
    )
    assert wanted is not None
    assert wanted.localities == (Locality("eu", "z1", "s"), Locality("", "z2", ""), Locality())
    assert without is not None
    assert without.localities == ()


ZONES = (
    "{addresses: [10.1.0.1], zone: a, nodeName: n1, hints: {forZones: [{name: a}]}},"
    " {addresses: [10.1.0.2], zone: b, nodeName: n2, hints: {forZones: [{name: b}, {name: c}], forNodes: [{name: n2}]}}"
)


@pytest.mark.parametrize(
    ("home", "expected"),
    [
        (Home(), [1, 2]),
        (Home(locality=Locality(zone="a")), [1]),
        (Home(locality=Locality(zone="c")), [2]),
        (Home(locality=Locality(zone="nowhere")), [1, 2]),
        (Home(node="n2"), [1, 2]),
    ],
)
def test_hints_for_zones_are_obeyed_as_kube_proxy_does(home: Home, expected: list[int]) -> None:
    policy, _ = compiled(WEB + slice_of(ZONES), home)
    assert endpoints_of(own(policy)) == [f"10.1.0.{n}" for n in expected]
    assert policy.home == home.locality
    assert {ip for ip, _ in policy.inbound} == {"10.1.0.1", "10.1.0.2"}


def test_hints_have_no_say_unless_all_ready_endpoints_have_them() -> None:
    home = Home(locality=Locality(zone="a"))
    without, unready = "{addresses: [10.1.0.3]}", "{addresses: [10.1.0.3], conditions: {ready: false}}"
    assert endpoints_of(own(compiled(WEB + slice_of(f"{ZONES}, {without}"), home)[0])) == [
        "10.1.0.1", "10.1.0.2", "10.1.0.3"
    ]  # fmt: skip
    assert endpoints_of(own(compiled(WEB + slice_of(f"{ZONES}, {unready}"), home)[0])) == ["10.1.0.1"]


def test_hints_for_nodes_come_before_those_for_zones() -> None:
    both = ZONES.replace("{forZones: [{name: a}]}", "{forZones: [{name: b}], forNodes: [{name: n1}]}")
    policy, _ = compiled(WEB + slice_of(both), Home(node="n1", locality=Locality(zone="b")))
    assert endpoints_of(own(policy)) == ["10.1.0.1"]


def test_internal_traffic_stays_on_the_node() -> None:
    text = service("web", "10.0.0.1", spec="internalTrafficPolicy: Local, ") + slice_of(ZONES)
    for node, expected in (("n1", ["10.1.0.1"]), ("n3", [])):
        policy, warnings = compiled(text, Home(node=node))
        assert (endpoints_of(own(policy)), warnings) == (expected, [])
    policy, warnings = compiled(text, Home())
    assert endpoints_of(own(policy)) == ["10.1.0.1", "10.1.0.2"]
    assert "internalTrafficPolicy Local is not obeyed: NODE_NAME" in warnings[0]


def test_the_environment_says_where_home_is() -> None:
    said = {"POD_NAMESPACE": "shop", "NODE_NAME": "n1", "TIDEGATE_LOCALITY": "eu/a"}
    assert Home.of(said) == Home("shop", "n1", Locality("eu", "a"))
    assert Home.of({"POD_NAMESPACE": ""}) == Home()


def test_slices_that_belong_to_no_service_here_are_named() -> None:
    stray = slice_of("{addresses: [10.1.0.1]}").replace("kubernetes.io/service-name: web", "a: b")
    _, warnings = policy_of(WEB + stray)
    assert any("no label kubernetes.io/service-name: it belongs to no Service" in line for line in warnings)
    _, warnings = policy_of(slice_of("{addresses: [10.1.0.1]}"))
    assert any("Service shop/web is not here: its endpoints are not used" in line for line in warnings)


def test_ports_of_a_slice_that_are_not_tcps_have_no_endpoints() -> None:
    udp = slice_of("{addresses: [10.1.0.1]}").replace("port: 8080", "port: 8080, protocol: UDP")
    policy, warnings = policy_of(WEB + udp)
    assert endpoints_of(own(policy)) == []
    assert any("none of its ports has the name of a TCP port of Service shop/web ('')" in line for line in warnings)
