"""deploy/kubernetes: Kubernetes' schemas take it, and it says what `inject` writes."""

import io
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from scripts.release import kustomize
from scripts.release.suites import ROOT, version

MANIFESTS = sorted(
    path
    for path in (ROOT / "deploy/kubernetes").rglob("*.yaml")
    if path.name != "kustomization.yaml" and "components" not in path.parts
)


def documents(text: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe", pure=True).load_all(io.StringIO(text)))


def test_the_components_are_what_inject_writes() -> None:
    for path, text in kustomize.files():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run python -m scripts.release kustomize"
    there = {path.name for path in kustomize.FOLDER.iterdir()}
    assert there == {component.name for component in kustomize.COMPONENTS}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.parametrize("release", ["1.29", "1.34"])
def test_the_schemas_take_each_manifest(path: Path, release: str) -> None:
    for document in documents(path.read_text(encoding="utf-8")):
        kubernetes_validate.validate(document, release, strict=True)


def test_images_have_the_number_of_this_release() -> None:
    for path in (ROOT / "deploy/kubernetes").rglob("*.yaml"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "newTag:" in line or "--image=tidegate:" in line:
                assert version() in line, path


def test_the_webhook_is_never_asked_about_its_own_pods() -> None:
    (made,) = documents((ROOT / "deploy/kubernetes/webhook/configuration.yaml").read_text())
    (namespace,) = documents((ROOT / "deploy/kubernetes/webhook/namespace.yaml").read_text())
    labels = {**namespace["metadata"]["labels"], "kubernetes.io/metadata.name": namespace["metadata"]["name"]}
    for hook in made["webhooks"]:
        assert not all(_matches(one, labels) for one in hook["namespaceSelector"]["matchExpressions"])
        assert hook["sideEffects"] == "None"


def _matches(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    there = labels.get(expression["key"]) in expression["values"]
    return there if expression["operator"] == "In" else not there


def test_the_webhooks_arguments_are_ones_that_the_command_takes() -> None:
    import click

    from tidegate.commands.webhook import webhook

    made = documents((ROOT / "deploy/kubernetes/webhook/server.yaml").read_text())[0]
    (container,) = made["spec"]["template"]["spec"]["containers"]
    name, *arguments = container["args"]
    assert name == "webhook"
    with click.Context(webhook) as context:
        parsed = webhook.make_context("webhook", list(arguments), parent=context)
    assert parsed.params["secret"] == parsed.params["service"]
