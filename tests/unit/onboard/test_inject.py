"""`inject` changes what it says and not a byte more; `uninject` gives the file back."""

import io
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from intercept.intent.from_flags import intent_from_flags
from onboard.arguments import capabilities
from onboard.kubernetes.containers import INIT, PROXY, Options, Sidecar
from onboard.kubernetes.inject import inject, uninject
from onboard.text.nodes import Source
from proxy.telemetry.own import USUAL_FILES
from tests.unit.onboard.manifests import DEPLOYMENT, NAMED, POD, pod, text
from tidegate.beside.privileges import COMPANION

OPTIONS = Options("tidegate:1", Sidecar.NATIVE, "mesh")


def injected(manifest: str, flags: dict[str, Any] | None = None, options: Options = OPTIONS) -> str:
    return inject(Source("f.yaml", manifest), flags or {}, options).text


def values(manifest: str) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(io.StringIO(manifest)))


def spec_of(manifest: str) -> Any:
    """Of the first document."""
    found = values(manifest)[0]
    return found["spec"] if found["kind"] == "Pod" else found["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("options", [OPTIONS, Options("tidegate:1")], ids=["config", "plain"])
def test_a_file_comes_back_byte_for_byte(name: str, options: Options) -> None:
    before = NAMED[name]
    after = injected(before, options=options)
    assert after != before
    assert uninject(Source("f.yaml", after)).text == before


@pytest.mark.parametrize("name", NAMED)
def test_a_second_time_changes_nothing(name: str) -> None:
    once = injected(NAMED[name])
    assert injected(once) == once


@pytest.mark.parametrize("name", [name for name in NAMED if not name.startswith("json")])
def test_every_line_of_the_file_is_kept_in_order(name: str) -> None:
    remaining = iter(injected(NAMED[name]).splitlines())
    for line in NAMED[name].splitlines():
        kept = line.replace("{}", "").replace("[]", "")
        assert any(kept.rstrip() in other for other in remaining), line


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("version", ["1.29", "1.34"])
def test_what_comes_out_is_what_kubernetes_takes(name: str, version: str) -> None:
    for document in values(injected(NAMED[name])):
        for one in document.get("items", [document]):
            kubernetes_validate.validate(one, version, strict=True)


def test_the_proxy_starts_before_and_ends_after_all_others() -> None:
    names = [one["name"] for one in values(injected(NAMED["list"]))[0]["items"][1]["spec"]["initContainers"]]
    assert names == [INIT, PROXY, "prepare"]


def test_on_older_clusters_the_proxy_is_the_first_ordinary_container() -> None:
    spec = spec_of(injected(DEPLOYMENT, options=Options("tidegate:1", Sidecar.CONTAINER)))
    assert [one["name"] for one in spec["initContainers"]] == [INIT]
    assert [one["name"] for one in spec["containers"]] == [PROXY, "app"]
    assert "restartPolicy" not in spec["containers"][0]


@pytest.mark.parametrize("mode", ["auto", "nftables", "iptables", "ebpf"])
def test_a_helper_stays_with_the_companions_rights_and_the_proxy_waits_for_it(mode: str) -> None:
    after = injected(DEPLOYMENT, {"mode": mode}, Options("tidegate:1", helper=True))
    (document,) = values(after)
    kubernetes_validate.validate(document, "1.29", strict=True)
    init, proxy = spec_of(after)["initContainers"]
    assert (init["name"], init["restartPolicy"], init["args"][-1]) == (INIT, "Always", "--helper=stay")
    assert (proxy["name"], proxy["restartPolicy"], proxy["args"][-1]) == (PROXY, "Always", "--helper=required")
    added = {f"CAP_{one}" for one in init["securityContext"]["capabilities"]["add"]}
    assert added == COMPANION | {f"CAP_{one}" for one in capabilities(intent_from_flags({"mode": mode}))}
    assert "add" not in proxy["securityContext"]["capabilities"]
    assert uninject(Source("f.yaml", after)).text == DEPLOYMENT


@given(st.data())
def test_any_layout_comes_back_and_means_the_same(layout: st.DataObject) -> None:
    wanted = {"apiVersion": "v1", "kind": "Pod", **pod(layout)}
    before = text(layout, wanted)
    after = injected(before)
    assert uninject(Source("f.yaml", after)).text == before
    assert injected(after) == after
    (found,) = values(after)
    found["metadata"]["annotations"].pop("tidegate.dev/injected")
    for key, ours in (("initContainers", 2), ("volumes", 2)):
        assert len(found["spec"][key]) == ours + len(wanted["spec"].get(key, []))
        found["spec"][key] = found["spec"][key][ours:]
    (original,) = values(before)
    for empty in (found["spec"], original["spec"], found["metadata"], original["metadata"]):
        for key in ("initContainers", "volumes", "annotations"):
            if not empty.get(key, True):
                del empty[key]
    assert found == original


def test_what_a_cluster_gives_back_is_taken_out_by_name() -> None:
    """`kubectl get -o yaml` keeps values and order of lists, but neither comments nor layout."""
    (known,) = values(injected(DEPLOYMENT))
    given_back = io.StringIO()
    YAML(typ="safe", pure=True).dump(known, given_back)
    assert values(uninject(Source("f.yaml", given_back.getvalue())).text) == values(DEPLOYMENT)


def test_flags_that_are_asked_for_reach_init_and_the_proxy() -> None:
    manifest = injected(POD, {"--dns": "all", "--outbound-port": "16001", "--exclude-outbound-ports": " 22, 3306 ,"})
    init, proxy = spec_of(manifest)["initContainers"]
    assert init["args"] == ["init", "--outbound-port=16001", "--exclude-outbound-ports=22,3306", "--dns=all"]
    assert proxy["args"] == ["proxy", "--outbound-port=16001", "--config=/etc/tidegate"]


def test_the_proxy_has_no_rights_and_init_has_those_that_are_documented() -> None:
    init, proxy = spec_of(injected(POD))["initContainers"]
    assert proxy["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert proxy["securityContext"]["runAsNonRoot"] is True
    assert init["securityContext"]["capabilities"]["add"] == ["NET_ADMIN", "NET_RAW"]
    (nftables, _) = spec_of(injected(POD, {"--mode": "nftables"}))["initContainers"]
    assert nftables["securityContext"]["capabilities"]["add"] == ["NET_ADMIN"]


def test_kinds_without_pods_stay_as_they_are() -> None:
    manifest = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n---\n# nothing\n---\napiVersion: x/v1\nkind: Rollout\n"
    )
    changed = inject(Source("f.yaml", manifest), {}, OPTIONS)
    assert changed.text == manifest
    assert changed.workloads == ()


def test_ebpf_mode_brings_the_mounts_that_capture_is_kept_in() -> None:
    flags = {"--mode": "ebpf"}
    for manifest in (POD, NAMED["stateful-set-no-newline"]):
        after = injected(manifest, flags)
        spec = spec_of(after)
        init, proxy = spec["initContainers"][:2]
        assert init["securityContext"]["capabilities"]["add"] == ["NET_ADMIN", "BPF", "PERFMON", "SYS_ADMIN"]
        assert proxy["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        mounted = {one["name"]: one for one in init["volumeMounts"]}
        hosts = {one["name"]: one["hostPath"]["path"] for one in spec["volumes"] if "hostPath" in one}
        assert hosts == {"tidegate-bpffs": "/sys/fs/bpf", "tidegate-cgroups": "/sys/fs/cgroup"}
        assert mounted["tidegate-bpffs"]["mountPropagation"] == "HostToContainer"
        assert mounted["tidegate-cgroups"]["readOnly"] is True
        assert injected(after, flags) == after
        assert uninject(Source("f.yaml", after)).text == manifest
        for document in values(after):
            kubernetes_validate.validate(document, "1.34", strict=True)


def test_the_proxy_gets_the_pods_labels_where_it_looks_for_them() -> None:
    spec = spec_of(injected(POD, options=Options("tidegate:1")))
    (mount,) = next(one for one in spec["initContainers"] if one["name"] == PROXY)["volumeMounts"]
    volume = next(one for one in spec["volumes"] if one["name"] == mount["name"])
    (item,) = volume["downwardAPI"]["items"]
    assert f"{mount['mountPath']}/{item['path']}" in USUAL_FILES
    assert item["fieldRef"] == {"fieldPath": "metadata.labels"}
