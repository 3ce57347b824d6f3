"""Documents: every mistake of a run is told with file and line, what is known is read, what is not is named."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.documents import KINDS, Documents, read_text, together
from mesh.kinds.traffic_policy import TrafficPolicy
from mesh.reading import read
from mesh.yaml.problems import MAX_TOLD, ConfigError, Problems

GOLDEN = Path(__file__).parent / "golden"
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n"


def told(text: str) -> tuple[Documents, list[str]]:
    problems = Problems()
    found = together([read_text("f.yaml", text)], problems)
    return found, [str(problem) for problem in problems.sorted()]


def service(spec: str) -> str:
    return f"apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n{spec}"


def policy(spec: str) -> str:
    return f"apiVersion: tidegate.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: p}}\nspec:\n{spec}"


def test_what_kubectl_prints_is_read_as_it_is() -> None:
    problems = Problems()
    found = read([str(GOLDEN)], problems)
    assert problems.errors == 0
    assert [str(problem).split(": ", 1)[1] for problem in problems] == [
        "warning: kind: 'ConfigMap' of 'v1' kube-root-ca.crt is not a kind we know and is skipped"
    ]
    assert {document.kind for document in found.all} == {kind for _, kind in KINDS} - {
        "Capture", "TrafficPolicy", "ReferenceGrant", "Pod"
    }  # fmt: skip
    versions = [line for line in (GOLDEN / "routes.yaml").read_text().splitlines() if line.startswith("apiVersion")]
    assert len(found.all) == 5 + len(versions)


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        (service("  clusterIP: 10.0.0.300\n  ports: [{port: 80}]\n"), 6, ["spec.clusterIP", "'10.0.0.300'"]),
        (service("  ports:\n  - port: 80x\n"), 7, ["spec.ports[0].port", "'80x'", "1 to 65535"]),
        (service("  ports:\n  - port: 0\n"), 7, ["spec.ports[0].port", "'0'"]),
        (service("  ports:\n  - port: '80'\n"), 7, ["spec.ports[0].port", "without quotes"]),
        (service("  ports:\n  - port: yes\n"), 7, ["spec.ports[0].port"]),
        (service("  ports:\n  - {port: 80, name: on}\n"), 7, ["spec.ports[0].name", "quotes"]),
        (service("  ports:\n  - {port: 80, protocol: TPC}\n"), 7, ["'TPC'", "TCP"]),
        (service("  ports:\n  - {port: 80, name: a}\n  - {port: 80, name: b}\n"), 8, ["TCP 80 is there already"]),
        (service("  ports:\n  - {port: 80, name: a}\n  - {port: 81}\n"), 8, ["name: is missing"]),
        (service("  ports: 80\n"), 6, ["spec.ports", "a list"]),
        (service("  sessionAffinity: Cookie\n  ports: [{port: 80}]\n"), 6, ["'Cookie'", "ClientIP"]),
        ("kind: Service\n", 1, ["apiVersion: is missing"]),
        ("apiVersion: v1\n", 1, ["kind: is missing"]),
        ("apiVersion: v1\nkind: 5\n", 2, ["kind", "'5'"]),
        ("- 1\n", 1, ["a mapping with apiVersion and kind"]),
        ("apiVersion: v2\nkind: Service\n", 1, ["'v2'", "for Service one of v1"]),
        ("kind: service\napiVersion: v1\n", 1, ["warning", "did you mean Service of v1"]),
        ("apiVersion: gateway.networking.k8s.io/v2\nkind: TCPRoute\n", 1, ["'gateway.networking.k8s.io/v2'", "/v1"]),
        (SERVICE.replace("{name: web}", "{name: Web}"), 3, ["metadata.name", "'Web'"]),
        (SERVICE.replace("metadata: {name: web}\n", ""), 1, ["metadata: is missing"]),
        (policy("  targetRefs: [{name: web}]\n  lanes: auto\n"), 6, ["spec.lanes", "there are: ", "lane"]),
        (policy("  targetRefs: [{name: web}]\n  lane: fast\n"), 6, ["spec.lane", "'fast'", "direct"]),
        (policy("  targetRefs: []\n"), 5, ["spec.targetRefs"]),
        (policy("  targetRefs: [{name: web, kind: Pod}]\n"), 5, ["'Pod'", "Service"]),
        (policy("  targetRefs: [{name: web}]\n  deniedSources:\n  - 10.0.0.1/8\n"), 7, ["did you mean 10.0.0.0/8"]),
        (policy("  targetRefs: [{name: web}]\n  connectionPool: {tcp: {connectTimeout: 5}}\n"), 6, ["'5'", "10s"]),
        (policy("  targetRefs: [{name: web}]\n  connectionPool: {tcp: {idleTimeout: 0s}}\n"), 6, ["'0s'", "1ms"]),
        (policy("  targetRefs: [{name: web}]\n  connectionPool: {tcp: {maxConnections: 0}}\n"), 6, ["'0'"]),
    ],
)
def test_a_mistake_is_told_with_line_token_and_what_is_allowed(text: str, line: int, parts: list[str]) -> None:
    found, problems = told(text)
    assert found.all == [] or not problems
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"f.yaml:{line}: "), problems
    assert all(part in problems[0] for part in parts), problems


def test_all_mistakes_of_a_run_are_told() -> None:
    text = service("  clusterIP: x\n  ports:\n  - port: 0\n    targetPort: -1\n") + "---\n" + policy("  lane: 1\n")
    _, problems = told(text)
    assert [problem.split(": ")[0] for problem in problems] == [f"f.yaml:{n}" for n in (6, 8, 9, 15, 15)]


def test_a_field_that_no_published_version_has_is_told_with_its_place() -> None:
    found, problems = told(SERVICE.replace("ports:", "clusterIp: 10.0.0.2, ports:"))
    assert found.all == []
    assert len(problems) == 1
    assert problems[0].startswith("f.yaml:4: spec.clusterIp: there is no such field; there are: ")
    assert "clusterIP, clusterIPs" in problems[0]


def test_null_is_left_out() -> None:
    found, problems = told(SERVICE.replace("{name: web}", "{name: web, creationTimestamp: null, labels: ~}"))
    assert (len(found.all), problems) == (1, [])


def test_twins_are_refused_and_both_places_named() -> None:
    _, problems = told(SERVICE + "---\n" + SERVICE)
    assert problems == ["f.yaml:6: Service default/web is here twice: it stands in f.yaml:1 already"]
    _, problems = told(SERVICE + "---\n" + SERVICE.replace("{name: web}", "{name: web, namespace: other}"))
    assert problems == []


def test_lists_are_unwrapped_also_those_of_one_kind() -> None:
    item = "- metadata: {name: web}\n  spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n"
    found, problems = told("apiVersion: v1\nkind: ServiceList\nitems:\n" + item)
    assert ([str(one) for one in found.all], problems) == (["Service default/web"], [])
    _, problems = told("apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items: []\n")
    assert problems == ["f.yaml:4: kind: a List inside a List is not allowed"]
    assert told("apiVersion: v1\nkind: List\nitems: []\n")[1] == []
    assert told("apiVersion: v1\nkind: List\nitems: 5\n")[1][0].startswith("f.yaml:3: items: '5' is not valid")


def test_unquoted_words_of_yaml_are_lanes_and_names_all_the_same() -> None:
    text = "apiVersion: tidegate.dev/v1alpha1\nkind: Capture\nmetadata: {name: c}\nspec: {dns: off, ipv6: off}\n"
    found, problems = told(text)
    assert problems == []
    assert found.all[0].object.spec.dns == "off"


def test_messages_are_bounded() -> None:
    items = "".join(f"- {{port: {n}x}}\n" for n in range(5 * MAX_TOLD))
    problems = Problems()
    problems.extend(read_text("f.yaml", service("  ports:\n") + items.replace("- ", "  - ")).problems)
    with pytest.raises(ConfigError) as refused:
        problems.refuse_if_any()
    assert len(refused.value.problems) == MAX_TOLD + 1
    assert "more problems are not shown" in str(refused.value)


def test_tokens_in_messages_are_short_and_printable() -> None:
    _, problems = told(service('  clusterIP: "' + "\\e[31m" + "x" * 10_000 + '"\n  ports: [{port: 80}]\n'))
    assert len(problems[0]) < 300
    assert problems[0].isprintable()


names = st.sampled_from(
    ["apiVersion", "kind", "metadata", "spec", "name", "ports", "port", "items", "rules", "backendRefs", "targetRefs",
     "lane", "endpoints", "addresses", "addressType", "parentRefs", "labels", "clusterIP", "connectionPool", "tcp"]
)  # fmt: skip
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["v1", "Service", "List", "10.0.0.1", "None", "tidegate.dev/v1alpha1", "TrafficPolicy", "5s"])
)  # fmt: skip
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5), max_leaves=25
)
heads = st.sampled_from([(group, kind, number) for (group, kind), versions in KINDS.items() for number in versions])


@settings(deadline=None)  # the machine may be busy
@given(heads, st.dictionaries(names, trees, max_size=5), trees)
def test_whatever_stands_in_a_document_is_read_or_told_about(
    head: tuple[str, str, str], body: dict[str, object], spec: object
) -> None:
    from mesh.capture import capture_problems
    from mesh.compile.compiler import compiled

    group, kind, number = head
    document = {**body, "apiVersion": f"{group}/{number}" if group else number, "kind": kind,
                "metadata": {"name": "a"}, "spec": spec}  # fmt: skip
    problems = Problems()
    found = together([read_text("f.yaml", yaml.safe_dump(document))], problems)
    capture_problems(found, problems)
    compiled(found, problems)
    assert len(found.all) + problems.errors >= 1


def test_durations_are_gos() -> None:
    from mesh.yaml.texts import seconds

    assert [seconds(text) for text in ("10s", "1h30m", "250ms", "1.5s", "1m1s1ms")] == [10, 5400, 0.25, 1.5, 61.001]


def test_every_field_of_a_traffic_policy_is_read() -> None:
    found, problems = told(
        policy(
            "  targetRefs: [{group: '', kind: Service, name: web, sectionName: http}]\n  lane: splice\n"
            "  loadBalancer: {simple: LEAST_REQUEST}\n"
            "  connectionPool:\n    tcp: {maxConnections: 3, connectTimeout: 1s, idleTimeout: 1m,"
            " maxConnectionDuration: 1h}\n    http: {maxRetries: 2, h2UpgradePolicy: UPGRADE}\n"
            "  outlierDetection: {consecutive5xxErrors: 7, interval: 5s, baseEjectionTime: 30s}\n"
            "  deniedSources: [10.0.0.0/8, 'fd00::/8', 192.0.2.1]\n"
            "  connectionRateLimit: {connections: 10, interval: 1s, burst: 20}\n"
        )
    )
    assert problems == []
    ((_, made),) = found.of(TrafficPolicy)
    assert made.spec.connection_pool.tcp.max_connections == 3
    assert made.spec.outlier_detection is not None
    assert made.spec.outlier_detection.consecutive5xx_errors == 7
