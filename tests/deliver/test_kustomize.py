"""kubectl's kustomize renders deploy/kubernetes, and the sidecar stands first."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from intercept.intent.intent import Intent
from onboard.kubernetes import containers
from onboard.kubernetes.containers import Options
from scripts.release import kustomize
from scripts.release.suites import ROOT, version
from tests.unit.release.test_kubernetes import documents

pytestmark = pytest.mark.deliver


def rendered(folder: Path) -> list[dict[str, Any]]:
    told = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return documents(told.stdout)


@pytest.mark.parametrize("component", kustomize.COMPONENTS, ids=lambda one: one.name)
def test_an_overlay_gets_the_sidecar_first(component: kustomize.Component, tmp_path: Path) -> None:
    place = tmp_path / "kubernetes"
    shutil.copytree(ROOT / "deploy/kubernetes", place)
    overlay = place / "example/kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("components/nftables", f"components/{component.name}"))
    for document in rendered(place / "example"):
        kubernetes_validate.validate(document, "1.34", strict=True)
        if document["kind"] != "Deployment":
            continue
        spec = document["spec"]["template"]["spec"]
        options = Options(f"tidegate:{version()}", component.sidecar)
        intent = Intent(mode=component.mode)
        init, proxy = containers.init_container(intent, options), containers.proxy_container(intent, options)
        native = component.sidecar is containers.Sidecar.NATIVE
        assert spec["initContainers"] == ([init, proxy] if native else [init])
        assert [one["name"] for one in spec["containers"]] == (["app"] if native else ["tidegate-proxy", "app"])
        assert document["kind"] == "Deployment"


def test_the_webhook_is_rendered_with_the_image_of_this_release() -> None:
    made = rendered(ROOT / "deploy/kubernetes/webhook")
    (deployment,) = [one for one in made if one["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == f"tidegate:{version()}"
    for document in made:
        kubernetes_validate.validate(document, "1.34", strict=True)
