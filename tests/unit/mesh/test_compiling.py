"""Documents -> Policy: which Service claims an address, where it goes, and what is said of what has no effect."""

import random as dice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.compile.in_force import ROUTES_NOT_IN_FORCE
from proxy.core.lanes import LaneChoice
from proxy.core.policy.policy import Balancing, Destination, Policy, Protocol, Timeouts, shares
from tests.unit.mesh.support import endpoints, grant, policy_of, service, tcp_route, traffic_policy
from tests.unit.mesh.test_documents import GOLDEN

WEB = service("web", "10.0.0.1") + endpoints("web", "10.1.0.1", "10.1.0.2")


def at(policy: Policy, ip: str, port: int = 80) -> Destination:
    return policy.outbound[ip, port]


def reach(destination: Destination) -> list[str]:
    return [str(endpoint) for endpoint, _ in shares(destination)]


def test_a_service_claims_its_addresses_and_sends_to_its_ready_endpoints() -> None:
    policy, warnings = policy_of((GOLDEN / "kubectl-get.yaml").read_text())
    assert len(warnings) == 1
    assert "kube-root-ca.crt is not a kind we know" in warnings[0]
    assert sorted(policy.outbound) == sorted(
        [(ip, port) for ip in ("10.96.10.1", "fd00:10:96::a01", "192.0.2.50") for port in (80, 9000)]
        + [("10.244.2.20", 5432)]
    )
    http4, http6 = at(policy, "10.96.10.1"), at(policy, "fd00:10:96::a01")
    assert reach(http4) == ["10.244.1.10:8080"]
    assert reach(http6) == ["[fd00:10:244:1::a]:8080"]
    assert (http4.protocol, http4.affinity_s) == (Protocol.HTTP2, 600.0)
    assert reach(at(policy, "fd00:10:96::a01", 9000)) == ["10.244.1.10:9000"]  # of the other family, if only there
    assert (at(policy, "10.96.10.1", 9000).protocol, at(policy, "10.96.10.1", 9000).l4_only) == (Protocol.TCP, True)
    headless = at(policy, "10.244.2.20", 5432)
    assert (str(headless.service), reach(headless)) == ("shop/db", ["10.244.2.20:5432"])
    assert sorted(policy.inbound) == [
        ("10.244.1.10", 8080), ("10.244.1.10", 9000), ("10.244.1.11", 8080), ("10.244.1.11", 9000),
        ("10.244.2.20", 5432), ("fd00:10:244:1::a", 8080),
    ]  # fmt: skip


def test_routes_of_every_version_and_what_of_them_is_not_obeyed() -> None:
    text = (GOLDEN / "kubectl-get.yaml").read_text() + "---\n" + (GOLDEN / "routes.yaml").read_text()
    policy, warnings = policy_of(text)
    raw = at(policy, "10.96.10.1", 9000)
    assert raw.route == "TCPRoute shop/raw"
    assert [(t.weight, t.cluster.name if t.cluster else None) for t in raw.targets] == [
        (80, "outbound|9000||web.shop.svc.cluster.local"), (20, "outbound|5432||db.shop.svc.cluster.local")
    ]  # fmt: skip
    assert len(at(policy, "10.96.10.1").l7_routes) == 4
    said = "\n".join(warnings)
    assert "GRPCRoute shop/g-old: no rules: no effect" in said
    http = [
        "HTTPRoute shop/web",
        "HTTPRoute shop/old",
        "HTTPRoute shop/oldest",
        "GRPCRoute shop/g",
        "GRPCRoute shop/g-old",
    ]
    tls = ["TLSRoute shop/tls", *(f"BackendTLSPolicy shop/b{n}" for n in (1, 2, 3))]
    for name in http + tls:
        kind = name.partition(" ")[0]
        pending = kind in ROUTES_NOT_IN_FORCE or f"{kind}.hostnames" in ROUTES_NOT_IN_FORCE
        assert (f"{name} is not obeyed in this version" in said) is pending, name
    assert "TCPRoute shop/raw-young: TCPRoute shop/raw" in said


def test_weights_are_shared_among_endpoints() -> None:
    text = WEB + service("new", "10.0.0.2") + endpoints("new", "10.1.1.1") + tcp_route("web", ("web", 80), ("new", 20))
    policy, warnings = policy_of(text)
    assert warnings == []
    assert [(str(one), round(part, 6)) for one, part in shares(at(policy, "10.0.0.1"))] == [
        ("10.1.0.1:8080", 0.4), ("10.1.0.2:8080", 0.4), ("10.1.1.1:8080", 0.2)
    ]  # fmt: skip
    assert reach(at(policy, "10.0.0.2")) == ["10.1.1.1:8080"]


def test_a_tls_route_comes_before_a_tcp_route_however_old() -> None:
    """The order of Gateway API for routes of one port: the more specific kind first, and only then the oldest."""
    there = service("tls", "10.0.0.8") + endpoints("tls", "10.1.8.8") + service("tcp", "10.0.0.7")
    older = tcp_route("web", ("tcp", 1), name="older").replace(
        "metadata: {", 'metadata: {creationTimestamp: "2020-01-01T00:00:00Z", '
    )
    younger = tcp_route("web", ("tls", 1), name="younger").replace("TCPRoute", "TLSRoute")
    for routes in (older + younger, younger + older):
        policy, warnings = policy_of(WEB + there + endpoints("tcp", "10.1.7.7") + routes)
        assert at(policy, "10.0.0.1").route == "TLSRoute shop/younger"
        assert reach(at(policy, "10.0.0.1")) == ["10.1.8.8:8080"]
        assert len(warnings) == 1
        assert "TCPRoute shop/older: TLSRoute shop/younger" in warnings[0]


@pytest.mark.parametrize(
    ("target", "extra", "why"),
    [
        ("gone", "", "Service shop/gone is not here"),
        ("udp", service("udp", "10.0.0.3", port="port: 80, protocol: UDP"), "Service shop/udp has no TCP port 80"),
        ("ext", service("ext", spec="type: ExternalName, externalName: example.com, "), "ExternalName"),
    ],
)
def test_a_reference_that_leads_nowhere_keeps_its_share(target: str, extra: str, why: str) -> None:
    policy, warnings = policy_of(WEB + extra + tcp_route("web", ("web", 3), (target, 1)))
    bad = at(policy, "10.0.0.1").targets[1]
    assert (bad.weight, bad.cluster) == (1, None)
    assert why in bad.unresolved
    assert any(why in line and "its share of the connections is reset" in line for line in warnings)
    assert sum(part for _, part in shares(at(policy, "10.0.0.1"))) == pytest.approx(0.75)


def test_another_namespaces_service_needs_a_grant() -> None:
    far = service("far", "10.0.0.9", namespace="other") + endpoints("far", "10.1.9.9", namespace="other")
    route = tcp_route("web", ("far", 1)).replace("{name: far,", "{name: far, namespace: other,")
    policy, warnings = policy_of(WEB + far + route)
    assert reach(at(policy, "10.0.0.1")) == []
    assert any("no ReferenceGrant in other" in line for line in warnings)
    policy, warnings = policy_of(WEB + far + route + grant("TCPRoute"))
    assert (reach(at(policy, "10.0.0.1")), warnings) == (["10.1.9.9:8080"], [])


def test_a_consumers_route_is_for_its_own_namespace() -> None:
    here = service("web", "10.0.0.7", namespace="client") + endpoints("web", "10.1.7.7", namespace="client")
    route = tcp_route("web", ("web", 1), namespace="client").replace(
        "Service, name: web", "Service, namespace: shop, name: web"
    )
    for namespace, expected in ((None, 2), ("shop", 2), ("client", 1)):
        policy, warnings = policy_of(WEB + here + route, namespace)
        assert len(reach(at(policy, "10.0.0.1"))) == expected
        assert bool(warnings) is (expected == 2)


@pytest.mark.parametrize(
    ("port", "protocol", "l4_only"),
    [
        ("port: 80", Protocol.DETECT, False),
        ("port: 80, name: tcp-x", Protocol.TCP, True),
        ("port: 80, name: tcp", Protocol.TCP, True),
        ("port: 80, name: tls-x", Protocol.TLS, True),
        ("port: 80, name: http-x", Protocol.HTTP, False),
        ("port: 80, name: http2-x", Protocol.HTTP2, False),
        ("port: 80, name: grpc-x", Protocol.GRPC, False),
        ("port: 80, name: tcpx", Protocol.DETECT, False),
        ("port: 80, name: http-x, appProtocol: tcp", Protocol.TCP, True),
        ("port: 80, name: tcp-x, appProtocol: kubernetes.io/h2c", Protocol.HTTP2, False),
        ("port: 80, name: tcp-x, appProtocol: example.com/own", Protocol.DETECT, False),
    ],
)
def test_the_protocol_is_the_app_protocol_else_the_names_prefix(port: str, protocol: Protocol, l4_only: bool) -> None:
    policy, _ = policy_of(service("web", "10.0.0.1", port=port))
    assert (at(policy, "10.0.0.1").protocol, at(policy, "10.0.0.1").l4_only) == (protocol, l4_only)


def test_without_any_slice_the_endpoints_are_unknown_and_it_is_passed_on() -> None:
    policy, warnings = policy_of(service("web", "10.0.0.1"))
    cluster = at(policy, "10.0.0.1").targets[0].cluster
    assert cluster is not None
    assert cluster.balancing is Balancing.PASSTHROUGH
    assert len(warnings) == 1
    assert "no EndpointSlice" in warnings[0]


def test_without_a_ready_endpoint_there_is_none_to_reach() -> None:
    text = WEB.replace("{addresses: ['10.1.0.1']}, {addresses: ['10.1.0.2']}",
                       "{addresses: ['10.1.0.1'], conditions: {ready: false}}")  # fmt: skip
    assert reach(at(policy_of(text)[0], "10.0.0.1")) == []
    going = text.replace("ready: false", "ready: false, serving: true, terminating: true")
    assert reach(at(policy_of(going)[0], "10.0.0.1")) == ["10.1.0.1:8080"]


def test_a_traffic_policy_for_a_port_wins_over_one_for_the_whole_service() -> None:
    whole = traffic_policy("web", "lane: splice, deniedSources: [10.9.0.0/16]", name="whole")
    section = traffic_policy(
        "web",
        "loadBalancer: {simple: ROUND_ROBIN}, connectionRateLimit: {connections: 10, interval: 2s, burst: 3},"
        " connectionPool: {tcp: {maxConnections: 4, connectTimeout: 1s, idleTimeout: 2s, maxConnectionDuration: 3s}}",
        name="section", section="a",
    )  # fmt: skip
    text = service("web", "10.0.0.1", port="port: 80, name: a}, {port: 81, name: b") + whole + section
    policy, _ = policy_of(text + endpoints("web", "10.1.0.1", port_name="a"))
    a, b = at(policy, "10.0.0.1", 80), at(policy, "10.0.0.1", 81)
    assert (a.lane, "10.9.0.1" in a.denied) == (LaneChoice.AUTO, False)
    assert (b.lane, b.lane_policy, "10.9.0.1" in b.denied) == (LaneChoice.SPLICE, "shop/whole", True)
    cluster = a.targets[0].cluster
    assert cluster is not None
    assert (cluster.balancing, cluster.max_connections) == (Balancing.ROUND_ROBIN, 4)
    assert cluster.timeouts == Timeouts(connect_s=1.0, idle_s=2.0, lifetime_s=3.0)
    assert a.rate_limit is not None
    assert (a.rate_limit.per_s, a.rate_limit.burst) == (5.0, 3)


def test_policies_that_have_no_effect_are_named() -> None:
    text = WEB + traffic_policy("web", "lane: auto", name="a") + traffic_policy("web", "lane: splice", name="b")
    text += traffic_policy("gone", "lane: auto", name="c") + traffic_policy("web", "lane: auto", name="d", section="x")
    policy, warnings = policy_of(text)
    assert at(policy, "10.0.0.1").lane is LaneChoice.AUTO
    said = "\n".join(warnings)
    for part in (
        "shop/b: TrafficPolicy shop/a",
        "Service shop/gone is not here",
        "no port named 'x'",
    ):
        assert part in said


def test_every_services_deny_rules_hold_where_its_endpoint_is() -> None:
    text = WEB + service("alias", "10.0.0.2") + endpoints("alias", "10.1.0.1")
    text += traffic_policy("web", "deniedSources: [10.9.0.0/16]", name="a")
    text += traffic_policy("alias", "deniedSources: [10.8.0.0/16]", name="b")
    policy, _ = policy_of(text)
    shared = policy.inbound["10.1.0.1", 8080].denied
    assert ("10.9.1.1" in shared, "10.8.1.1" in shared, "10.7.1.1" in shared) == (True, True, False)
    assert "10.8.1.1" not in policy.inbound["10.1.0.2", 8080].denied


def test_of_two_claims_the_older_holds() -> None:
    text = WEB + service("late", "10.0.0.2", spec="externalIPs: [10.0.0.1], ") + endpoints("late", "10.1.2.2")
    stamped = '{name: web, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}'
    policy, warnings = policy_of(text.replace("{name: web, namespace: shop}", stamped))
    assert str(at(policy, "10.0.0.1").service) == "shop/web"
    assert any("10.0.0.1:80 is claimed by Service shop/web already" in line for line in warnings)


@settings(deadline=None)  # the machine may be busy
@given(st.randoms(use_true_random=False))
def test_the_order_of_documents_does_not_matter(shuffle: dice.Random) -> None:
    text = (GOLDEN / "routes.yaml").read_text() + "---" + WEB + service("db", "10.0.0.2") + endpoints("db", "10.1.2.2")
    text += service("other", "10.0.0.3", spec="externalIPs: [10.0.0.1], ") + tcp_route("db", ("web", 1), ("db", 1))
    text += traffic_policy("db", "lane: splice", name="x") + traffic_policy("db", "lane: auto", name="y")
    documents = text.split("---\n")
    expected, _ = policy_of("---\n".join(documents))
    shuffle.shuffle(documents)
    found, _ = policy_of("---\n".join(documents))
    assert found == expected
    assert found.digest == expected.digest != ""


def test_different_policies_have_different_digests() -> None:
    denied = [traffic_policy("web", f"deniedSources: [10.0.0.0/{length}]") for length in (8, 9)]
    routes = [tcp_route("web", ("web", weight)) for weight in (1, 2)]
    extras = ["", service("b", "10.0.0.2"), traffic_policy("web", "lane: splice"), *denied, *routes]
    assert len({policy_of(WEB + extra)[0].digest for extra in extras}) == len(extras)


def test_nothing_gives_nothing() -> None:
    policy, warnings = policy_of("")
    assert (dict(policy.outbound), dict(policy.inbound), policy.clusters, warnings) == ({}, {}, (), [])


@pytest.mark.parametrize(
    ("other", "protocol", "reason"),
    [
        ("port: 81, name: tcp-b", Protocol.DETECT, "port name http-a, but port name tcp-b of Service shop/web"),
        ("port: 81, name: b", Protocol.DETECT, "port name http-a, but nothing of Service shop/web"),
        ("port: 81, name: http-b", Protocol.HTTP, "port name http-a"),
    ],
)
def test_what_ports_of_one_endpoint_do_not_agree_upon_is_detected(other: str, protocol: Protocol, reason: str) -> None:
    text = service("web", "10.0.0.1", port=f"port: 80, name: http-a}}, {{{other}")
    name = other.rpartition(" ")[2]
    listed = endpoints("web", "10.1.0.1", port_name="http-a").replace(
        "8080}]", f"8080}}, {{name: {name}, port: 8080}}]"
    )
    found = policy_of(text + listed)[0].inbound["10.1.0.1", 8080]
    assert (found.protocol, found.protocol_reason) == (protocol, reason)


def test_a_service_without_slices_has_its_policys_settings_all_the_same() -> None:
    text = service("web", "10.0.0.1") + traffic_policy("web", "connectionPool: {http: {http2MaxRequests: 3}}")
    passing = policy_of(text)[0].outbound["10.0.0.1", 80].targets[0].cluster
    assert passing is not None
    assert passing.settings.limits.requests == 3
