"""deploy/kubernetes/components: kustomize components that put the sidecar into every workload of an overlay.

They are made of the same values as what `tidegate inject` writes, so the two cannot drift apart; a test compares.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from intercept.intent.intent import Intent, Mode
from onboard.annotations import INJECTED
from onboard.kubernetes import containers
from onboard.kubernetes.containers import Options, Sidecar
from onboard.kubernetes.uninject import record
from onboard.kubernetes.workloads import ENDING_KINDS
from scripts.release.suites import ROOT

FOLDER = ROOT / "deploy" / "kubernetes" / "components"
IMAGE = "tidegate"
"""Kustomize's `images` gives it registry and tag."""
_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")
_HEAD = "# Written by `python -m scripts.release kustomize`.\n"


class Component(NamedTuple):
    name: str
    mode: Mode
    sidecar: Sidecar


COMPONENTS = (
    Component("auto", Mode.AUTO, Sidecar.NATIVE),
    Component("nftables", Mode.NFTABLES, Sidecar.NATIVE),
    Component("iptables", Mode.IPTABLES, Sidecar.NATIVE),
    Component("ebpf", Mode.EBPF, Sidecar.NATIVE),
    Component("auto-before-1.29", Mode.AUTO, Sidecar.CONTAINER),
)


def files() -> Iterator[tuple[Path, str]]:
    """Path and text of each file of each component."""
    for component in COMPONENTS:
        folder = FOLDER / component.name
        kinds = [kind for kind in _KINDS if component.sidecar is Sidecar.NATIVE or kind not in ENDING_KINDS]
        patches = [{"path": "template.yaml", "target": {"kind": kind}} for kind in kinds]
        if component.sidecar is Sidecar.NATIVE:
            patches.append({"path": "cronjob.yaml", "target": {"kind": "CronJob"}})
            yield folder / "cronjob.yaml", _HEAD + _yaml(_patch(component, "batch/v1", "CronJob"))
        yield folder / "template.yaml", _HEAD + _yaml(_patch(component, "apps/v1", "Deployment"))
        made = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "patches": patches}
        yield folder / "kustomization.yaml", _HEAD + _yaml(made)


def write() -> list[str]:
    for path, text in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [component.name for component in COMPONENTS]


def _patch(component: Component, version: str, kind: str) -> dict[str, Any]:
    intent, options = Intent(mode=component.mode), Options(IMAGE, component.sidecar)
    init, proxy = containers.init_container(intent, options), containers.proxy_container(intent, options)
    spec: dict[str, Any] = {"initContainers": [init, proxy]}
    if component.sidecar is Sidecar.CONTAINER:
        spec = {"initContainers": [init], "containers": [proxy]}
    volumes = containers.volumes(intent, options)
    if volumes:
        spec["volumes"] = volumes
    template = {"metadata": {"annotations": {INJECTED: record([])}}, "spec": spec}
    inner: dict[str, Any] = {"template": template}
    if kind == "CronJob":
        inner = {"jobTemplate": {"spec": inner}}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "any"}, "spec": inner}


def _yaml(value: Any) -> str:
    from ruamel.yaml import YAML

    writer = YAML()
    writer.width = 120
    writer.indent(mapping=2, sequence=2, offset=0)
    out = io.StringIO()
    writer.dump(value, out)
    return out.getvalue()
