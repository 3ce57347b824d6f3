"""Compiling by difference gives what compiling anew gives, whatever changed; the rest stays the same objects."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.compile.compiler import Compiler
from mesh.documents import Documents, FileDocuments, read_text, together
from mesh.yaml.problems import Problems
from proxy.core.policy.policy import Policy, ServiceName
from tests.unit.mesh.support import endpoints, http_route, pod, service, tcp_route, traffic_policy

NAMES = ("web", "db", "api")


def stamped(text: str, second: int | None) -> str:
    """With a time of creation, which decides between claims and between policies."""
    if second is None:
        return text
    return text.replace("metadata: {", f'metadata: {{creationTimestamp: "2026-01-01T00:00:0{second}Z", ', 1)


seconds = st.none() | st.integers(0, 3)
names = st.sampled_from(NAMES)
addresses = st.lists(st.sampled_from(["10.1.0.1", "10.1.0.2", "10.1.0.3"]), max_size=3, unique=True)
port = st.sampled_from(
    [
        "port: 80",
        "port: 80, name: a",
        "port: 80, name: tcp-a}, {port: 81, name: b",
        "port: 81",
        "port: 80, protocol: UDP",
    ]
)
of_services = st.builds(
    lambda name, ip, extra, port, second: stamped(service(name, ip, spec=extra, port=port), second),
    names,
    st.sampled_from(["10.0.0.1", "10.0.0.2", "None", ""]),
    st.sampled_from(["", "externalIPs: [10.0.0.1], ", "sessionAffinity: ClientIP, ", "internalTrafficPolicy: Local, "]),
    port,
    seconds,
)
of_slices = st.builds(
    lambda name, found, number, port_name, conditions: endpoints(
        name, *found, port_name=port_name, port=number
    ).replace("']}", f"'], conditions: {{{conditions}}}, targetRef: {{kind: Pod, name: p{number % 2 + 1}}}}}"),
    st.sampled_from([*NAMES, "nobody"]),
    addresses,
    st.sampled_from([8080, 8081]),
    st.sampled_from(['""', "a", "tcp-a"]),
    st.sampled_from(["", "ready: false", "ready: false, serving: true, terminating: true"]),
)
of_routes = st.builds(
    lambda parent, backends, name, second: stamped(tcp_route(parent, *backends, name=name), second),
    st.sampled_from([*NAMES, "nobody"]),
    st.lists(st.tuples(st.sampled_from([*NAMES, "nobody"]), st.integers(0, 3)), min_size=1, max_size=3),
    st.sampled_from(["r1", "r2"]),
    seconds,
)
of_http_routes = st.builds(
    lambda kind, parent, backend, weight, name, second: stamped(
        http_route(
            f"{{matches: [{{}}], backendRefs: [{{{backend}, port: 80, weight: {weight}}}]}}",
            kind=kind,
            parent=parent,
            name=name,
        ),
        second,
    ),
    st.sampled_from(["HTTPRoute", "GRPCRoute"]),
    st.sampled_from([*NAMES, "nobody", "web, port: 80", "web, sectionName: a"]),
    st.sampled_from(
        [
            *(f"name: {name}" for name in (*NAMES, "nobody")),
            "group: tidegate.dev, kind: Subset, name: v1.web",
            "group: tidegate.dev, kind: Subset, name: v2.db",
        ]
    ),
    st.integers(0, 3),
    st.sampled_from(["h1", "h2"]),
    seconds,
)
of_pods = st.builds(pod, st.sampled_from(["p1", "p2"]), st.sampled_from(["version: v1", "version: v2", ""]))
of_policies = st.builds(
    lambda target, spec, name, section, second: stamped(
        traffic_policy(target, spec, name=name, section=section), second
    ),
    names,
    st.sampled_from(
        [
            "lane: splice",
            "deniedSources: [10.9.0.0/16]",
            "deniedSources: [10.8.0.0/16]",
            "lane: auto",
            "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}], retries: {}",
            "side: inbound, rateLimit: {}, outlierDetection: {}",
        ]
    ),
    st.sampled_from(["p1", "p2"]),
    st.sampled_from(["", "a", "b"]),
    seconds,
)
TLS_ROUTE = """
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TLSRoute
metadata: {name: t1, namespace: shop}
spec: {parentRefs: [{group: "", kind: Service, name: web}], rules: [{backendRefs: [{name: db, port: 80}]}]}
"""
NO_LABEL = "\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x}\naddressType: IPv4\n"
documents = st.one_of(
    of_services,
    of_slices,
    of_slices,
    of_routes,
    of_http_routes,
    of_pods,
    of_policies,
    st.sampled_from([TLS_ROUTE, TLS_ROUTE.replace("rules:", "hostnames: [a.b, '*.b'], rules:"), NO_LABEL]),
)
FILES = ("a.yaml", "b.yaml", "c.yaml")
changes = st.lists(
    st.tuples(st.sampled_from(FILES), st.lists(documents, max_size=5).map("".join)), min_size=1, max_size=6
)


def compiled(compiler: Compiler, files: list[FileDocuments]) -> tuple[Policy, list[str]]:
    problems = Problems()
    policy = compiler.compile(together(files, Problems()), problems).policy
    return policy, [str(problem) for problem in problems]


def every_object(policy: Policy) -> Iterator[object]:
    yield from policy.outbound.values()
    yield from policy.inbound.values()
    yield from policy.clusters


@settings(deadline=None, max_examples=300)  # the machine may be busy
@given(changes)
def test_compiling_by_difference_gives_what_compiling_anew_gives(steps: list[tuple[str, str]]) -> None:
    compiler = Compiler()
    files: dict[str, FileDocuments] = {}
    before = Policy()
    for file, text in steps:
        files[file] = read_text(file, text)
        listed = [files[name] for name in sorted(files)]
        found = compiled(compiler, listed)
        assert found == compiled(Compiler(), listed)
        _nothing_was_made_again_in_vain(before, found[0])
        before = found[0]


def _nothing_was_made_again_in_vain(before: Policy, after: Policy) -> None:
    """What is equal is the same object, so that publishing the policy costs what has changed."""
    for key, destination in after.outbound.items():
        old = before.outbound.get(key)
        assert old is destination or old != destination
    clusters = {id(one) for one in before.clusters}
    assert all(one not in before.clusters or id(one) in clusters for one in after.clusters)


WHOLE = {
    f"{name}.yaml": service(name, f"10.0.0.{number}") + endpoints(name, f"10.1.{number}.1", f"10.1.{number}.2")
    for number, name in enumerate(("web", "db", "api"), 1)
}


def test_one_changed_slice_touches_one_service() -> None:
    compiler = Compiler()
    files = {name: read_text(name, text) for name, text in WHOLE.items()}
    compiler.compile(Documents(list(files.values())), Problems())
    files["db.yaml"] = read_text("db.yaml", WHOLE["db.yaml"].replace("10.1.2.2", "10.1.2.3"))
    found = compiler.compile(Documents(list(files.values())), Problems())
    assert found.changed == {ServiceName("shop", "db")}


def test_a_service_that_sends_to_the_changed_one_is_touched_too() -> None:
    compiler = Compiler()
    files = {name: read_text(name, text) for name, text in WHOLE.items()}
    files["route.yaml"] = read_text("route.yaml", tcp_route("web", ("db", 1)))
    compiler.compile(Documents(list(files.values())), Problems())
    files["db.yaml"] = read_text("db.yaml", WHOLE["db.yaml"].replace("10.1.2.2", "10.1.2.3"))
    found = compiler.compile(Documents(list(files.values())), Problems())
    assert found.changed == {ServiceName("shop", "db"), ServiceName("shop", "web")}
    cluster = found.policy.outbound["10.0.0.1", 80].targets[0].cluster
    assert cluster is not None
    assert [str(one) for one in cluster.endpoints] == ["10.1.2.1:8080", "10.1.2.3:8080"]


def test_the_same_documents_in_other_lines_change_nothing() -> None:
    compiler = Compiler()
    first = compiler.compile(Documents([read_text("f", "".join(WHOLE.values()))]), Problems()).policy
    again = compiler.compile(Documents([read_text("f", "# moved\n" + "".join(WHOLE.values()))]), Problems()).policy
    assert again == first
    assert set(map(id, every_object(first))) == set(map(id, every_object(again)))


@pytest.mark.parametrize("gone", sorted(WHOLE))
def test_a_file_that_goes_takes_its_part_along(gone: str) -> None:
    compiler = Compiler()
    files = {name: read_text(name, text) for name, text in WHOLE.items()}
    compiler.compile(Documents(list(files.values())), Problems())
    del files[gone]
    found = compiler.compile(Documents(list(files.values())), Problems()).policy
    assert found == Compiler().compile(Documents(list(files.values())), Problems()).policy
    assert len(found.outbound) == 2


@pytest.mark.parametrize("extra", ["externalIPs: [10.0.0.9], ", "clusterIP: None, "])
def test_the_holder_that_becomes_the_younger_one_gives_way(extra: str) -> None:
    """Of an address outbound, and of an endpoint inbound that both Services have."""
    compiler = Compiler()
    api = stamped(service("api", spec=extra) + endpoints("api", "10.1.0.1"), 1)
    for second, holder in ((0, "web"), (2, "api"), (0, "web")):
        web = stamped(service("web", spec=extra) + endpoints("web", "10.1.0.1"), second)
        files = [read_text("api.yaml", api), read_text("web.yaml", web)]
        found, warnings = compiled(compiler, files)
        assert {one.service.name for one in (*found.outbound.values(), *found.inbound.values())} == {holder}
        assert (found, warnings) == compiled(Compiler(), files)


def test_a_pod_touches_the_services_of_its_namespace_that_have_subsets() -> None:
    compiler = Compiler()
    subsets = "subsets: [{name: v1, labels: {version: v1}}]"
    files = {name: read_text(name, text) for name, text in WHOLE.items()}
    policies = traffic_policy("db", subsets) + traffic_policy("api", "lane: auto", name="q")
    files["subsets.yaml"] = read_text("subsets.yaml", policies)
    compiler.compile(Documents(list(files.values())), Problems())
    of_db = {ServiceName("shop", "db")}
    for namespace, touched in (("shop", of_db), ("other", set[ServiceName]())):
        files["pod.yaml"] = read_text("pod.yaml", pod("p1", "version: v1", namespace=namespace))
        found = compiler.compile(Documents(list(files.values())), Problems())
        assert found.changed == touched
        del files["pod.yaml"]
        compiler.compile(Documents(list(files.values())), Problems())
