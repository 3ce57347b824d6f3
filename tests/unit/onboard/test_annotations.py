"""What a pod's own annotations ask for, and that no annotation reaches further than its flag."""

import pytest

from intercept.errors import BadInput
from onboard.kubernetes.containers import Options
from onboard.kubernetes.inject import inject
from onboard.text.nodes import Source
from onboard.text.problems import ManifestError
from tests.unit.onboard.test_inject import injected, spec_of, values


def pod(annotations: str, more: str = "") -> str:
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    {annotations}\n"
        f"spec:\n{more}  containers: [{{name: app, image: a}}]\n"
    )


def init_arguments(annotations: str, **flags: str) -> list[str]:
    given = {f"--{name.replace('_', '-')}": value for name, value in flags.items()}
    arguments: list[str] = spec_of(injected(pod(annotations), given))["initContainers"][0]["args"]
    return arguments


@pytest.mark.parametrize(
    ("annotation", "argument"),
    [
        ("tidegate.dev/exclude-outbound-ports: '22, 9000-9100'", "--exclude-outbound-ports=22,9000-9100"),
        ("tidegate.dev/drop-invalid: 'true'", "--drop-invalid"),
        ("tidegate.dev/exclude-outbound-for: 'tcp:5432:1000; udp:53:0-99'", "--exclude-outbound-for=udp:53:0-99"),
        ("traffic.sidecar.istio.io/includeInboundPorts: ''", "--include-inbound-ports="),
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.0.0.0/8", "--exclude-outbound-cidrs=10.0.0.0/8"),
        ("config.linkerd.io/skip-subnets: 10.9.0.0/16", "--exclude-inbound-cidrs=10.9.0.0/16"),
        ("config.linkerd.io/skip-inbound-ports: '4222'", "--exclude-inbound-ports=4222"),
    ],
)
def test_an_annotation_stands_for_its_flag(annotation: str, argument: str) -> None:
    assert argument in init_arguments(annotation)


def test_ours_wins_over_another_mesh_and_the_command_line_over_all() -> None:
    both = "tidegate.dev/exclude-outbound-ports: '1'\n    traffic.sidecar.istio.io/excludeOutboundPorts: '2'"
    assert "--exclude-outbound-ports=1" in init_arguments(both)
    assert "--exclude-outbound-ports=3" in init_arguments(both, exclude_outbound_ports="3")


def test_two_meshes_that_contradict_each_other_are_refused() -> None:
    both = "config.linkerd.io/skip-outbound-ports: '1'\n    traffic.sidecar.istio.io/excludeOutboundPorts: '2'"
    with pytest.raises(ManifestError, match=r"f\.yaml:7: .*contradict each other"):
        init_arguments(both)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ("tidegate.dev/exclude-outbound-ports: '80 --mode=ebpf'", "is not valid"),
        ("tidegate.dev/exclude-outbound-ports: '$(reboot)'", "is not valid"),
        ('tidegate.dev/exclude-outbound-cidrs: "10.0.0.0/8\\", \\"--mode=x"', "is not valid"),
        ("tidegate.dev/include-outbound-gids: root", "is not valid"),
        ("tidegate.dev/exclude-interfaces: '$(A)'", "is not valid"),
        ("tidegate.dev/exclude-outbound-ports: 22", None),
        ("tidegate.dev/exclude-outbound-ports: [22]", "put it in quotes"),
        ("tidegate.dev/no-such-flag: '1'", "no annotation of tidegate"),
        ("tidegate.dev/cgroup: /", "no annotation of tidegate"),
        ("tidegate.dev/inject: 'maybe'", "allowed are true"),
        ("tidegate.dev/injected: '{}'", "not what `tidegate inject` writes"),
        ('tidegate.dev/injected: \'{"made": ["containers"]}\'', "not what `tidegate inject` writes"),
    ],
)
def test_a_hostile_or_wrong_annotation_is_refused_where_it_stands(annotation: str, message: str | None) -> None:
    if message is None:
        assert "--exclude-outbound-ports=22" in init_arguments(annotation)
        return
    with pytest.raises(ManifestError, match=r"^f\.yaml:6: ") as refused:
        injected(pod(annotation))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("annotation", "more"),
    [
        ("tidegate.dev/inject: 'false'", ""),
        ("sidecar.istio.io/inject: 'false'", ""),
        ("linkerd.io/inject: disabled", ""),
        ("x: y", "  hostNetwork: true\n"),
        ("x: y", "  initContainers: [{name: istio-init, image: i}]\n"),
    ],
)
def test_a_pod_that_asks_to_be_left_alone_is_left_and_named(annotation: str, more: str) -> None:
    manifest = pod(annotation, more)
    changed = inject(Source("f.yaml", manifest), {}, Options("t:1"))
    assert changed.text == manifest
    (note,) = changed.notes
    assert note.startswith("f.yaml:1: Pod p is left as it is: ")


def test_our_own_yes_wins_over_another_mesh_that_says_no() -> None:
    manifest = injected(pod("tidegate.dev/inject: 'true'\n    sidecar.istio.io/inject: 'false'"))
    assert len(spec_of(manifest)["initContainers"]) == 2


@pytest.mark.parametrize(
    "flags",
    [{"--mode": "tproxy"}, {"--proxy-mark": "1"}, {"--proxy-uid": "0"}, {"--dns": "some"}],
    ids=str,
)
def test_a_flag_that_a_pod_could_not_keep_is_refused(flags: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        injected(pod("x: y"), flags)


@pytest.mark.parametrize(
    ("manifest", "line", "message"),
    [
        ("kind: Pod\napiVersion: v1\nspec: {containers: [\n", 4, "no valid YAML"),
        ("- a\n", 1, "mapping"),
        ("apiVersion: v1\nmetadata: {}\n", 1, "has a kind"),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n", 1, "spec.template is missing"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", 1, "no spec"),
        ("a: &a {containers: []}\napiVersion: v1\nkind: Pod\nspec: *a\n", 4, "is an alias"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}\nspec: &a\n  containers: []\n", 4, "has an anchor"),
        ("a: &a {initContainers: []}\napiVersion: v1\nkind: Pod\nspec:\n  <<: *a\n  containers: []\n", 5, "merge key"),
        ("apiVersion: v1\nkind: Pod\nspec: {}\nspec: {}\n", 4, "twice"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  initContainers: x\n", 4, "list is expected"),
        (
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: tidegate-proxy\n",
            5,
            "did not make it",
        ),
        ("a: " + "[" * 200 + "]" * 200 + "\n", None, "nested deeper"),
    ],
)
def test_a_manifest_that_can_not_be_changed_is_refused_by_line(manifest: str, line: int | None, message: str) -> None:
    with pytest.raises(ManifestError) as refused:
        injected(manifest)
    assert message in str(refused.value)
    assert line is None or str(refused.value).startswith(f"f.yaml:{line}: ")


def test_a_job_beside_an_ordinary_container_is_refused() -> None:
    from onboard.kubernetes.containers import Sidecar

    manifest = "apiVersion: batch/v1\nkind: Job\nspec:\n  template:\n    spec: {containers: [{name: a}]}\n"
    with pytest.raises(ManifestError, match="would never end"):
        injected(manifest, options=Options("t:1", Sidecar.CONTAINER))
    assert values(injected(manifest))[0]["spec"]["template"]["spec"]["initContainers"]


def test_a_container_that_runs_as_the_proxys_user_is_named() -> None:
    manifest = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, securityContext: {runAsUser: 1337}}]}\n"
    (note,) = inject(Source("f.yaml", manifest), {}, Options("t:1")).notes
    assert "runs as user 1337" in note
