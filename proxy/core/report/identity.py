"""Who the workload is that this proxy serves, as Istio's labels name it. From the environment and from the pod's labels
as the downward API writes them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

UNKNOWN = "unknown"
LATEST = "latest"
_LABEL_LINE = re.compile(r'\s*([^=\s]+)="((?:[^"\\]|\\.)*)"\s*')
_ORDINAL = re.compile(r"-\d+$")
_RANDOM = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}$")
"""What Kubernetes appends to the name of a pod that is one of many."""


@dataclass(frozen=True, slots=True)
class Identity:
    workload: str = UNKNOWN
    namespace: str = UNKNOWN
    app: str = UNKNOWN
    version: str = UNKNOWN
    canonical_service: str = UNKNOWN
    canonical_revision: str = LATEST
    cluster: str = UNKNOWN


NOBODY = Identity()


def identity(environment: Mapping[str, str], labels_file: str = "") -> Identity:
    """labels_file: the text of the downward API's file. Each value comes from the first of its sources that has it;
    docs/telemetry.md lists them."""
    labels = labels_of(labels_file) or _labels_of_json(environment.get("ISTIO_METAJSON_LABELS", ""))

    def first(*values: str | None) -> str | None:
        return next((value for value in values if value), None)

    def named(name: str) -> str | None:
        return first(environment.get(f"TIDEGATE_{name}"), environment.get(f"ISTIO_META_{name}"))

    workload = first(
        environment.get("TIDEGATE_WORKLOAD"),
        environment.get("ISTIO_META_WORKLOAD_NAME"),
        workload_of_pod(environment.get("POD_NAME", ""), labels),
        environment.get("OTEL_SERVICE_NAME"),
    )
    app = first(environment.get("TIDEGATE_APP"), labels.get("app"), labels.get("app.kubernetes.io/name"))
    version = first(environment.get("TIDEGATE_VERSION"), labels.get("version"), labels.get("app.kubernetes.io/version"))
    return Identity(
        workload=workload or UNKNOWN,
        namespace=first(named("NAMESPACE"), environment.get("POD_NAMESPACE")) or UNKNOWN,
        app=app or UNKNOWN,
        version=version or UNKNOWN,
        canonical_service=first(
            labels.get("service.istio.io/canonical-name"),
            environment.get("CANONICAL_SERVICE"),
            labels.get("app.kubernetes.io/name"),
            app,
            workload,
        )
        or UNKNOWN,
        canonical_revision=first(
            labels.get("service.istio.io/canonical-revision"), environment.get("CANONICAL_REVISION"), version
        )
        or LATEST,
        cluster=first(named("CLUSTER_ID")) or UNKNOWN,
    )


def labels_of(text: str) -> dict[str, str]:
    """Lines of the downward API: `key="value"`, the value quoted as Go does. Others are left out."""
    found = {}
    for line in text.splitlines():
        match = _LABEL_LINE.fullmatch(line)
        if match:
            found[match[1]] = re.sub(r"\\(.)", r"\1", match[2])
    return found


def workload_of_pod(pod: str, labels: Mapping[str, str]) -> str | None:
    """The name of the Deployment, DaemonSet, StatefulSet or Job that made the pod; for a pod of its own, its name."""
    if not pod:
        return None
    template = labels.get("pod-template-hash")
    if template and f"-{template}-" in pod:
        return pod.rpartition(f"-{template}-")[0]
    if "statefulset.kubernetes.io/pod-name" in labels:
        return _ORDINAL.sub("", pod)
    if labels.keys() & {"controller-revision-hash", "job-name", "batch.kubernetes.io/job-name"}:
        return _RANDOM.sub("", pod)
    return pod


def _labels_of_json(text: str) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
