"""What a captured pod gets: an init container that puts capture in force, and the proxy. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from intercept.errors import BadInput
from intercept.intent.intent import Intent, Mode
from onboard.arguments import CONFIG_FOLDER, capabilities, init_arguments, proxy_arguments, user
from onboard.text.render import Value

INIT = "tidegate-init"
PROXY = "tidegate-proxy"
CONFIG = "tidegate-config"
BPFFS = "tidegate-bpffs"
CGROUPS = "tidegate-cgroups"
LABELS = "tidegate-podinfo"
LABELS_FOLDER = "/etc/podinfo"
"""Where the proxy looks for the pod's labels, in the file `labels`."""
VOLUMES = (CONFIG, BPFFS, CGROUPS, LABELS)
"""Names of the volumes that `inject` may add."""
OTHER_MESHES = ("istio-proxy", "istio-init", "linkerd-proxy", "linkerd-init", "kuma-sidecar", "consul-dataplane")
"""Names of containers that capture the same traffic."""
TELEMETRY_PORT = 15020
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class Sidecar(StrEnum):
    """How the proxy runs beside the workload's containers."""

    NATIVE = "native"
    """An init container with `restartPolicy: Always` (Kubernetes 1.29 and newer): starts first, ends last."""
    CONTAINER = "container"
    """An ordinary container, for older clusters."""


@dataclass(frozen=True, slots=True)
class Options:
    image: str
    sidecar: Sidecar = Sidecar.NATIVE
    config_map: str | None = None
    """A ConfigMap of configuration documents for the proxy."""
    helper: bool = False
    """Whether `init` stays as the helper of the proxy, which has no rights of its own."""


def checked_image(image: str) -> str:
    """The same text. Raises BadInput when it can be no image's name."""
    if not _IMAGE.fullmatch(image):
        raise BadInput("--image", image, "a reference to an image, such as tidegate:1.0 or example.com/tidegate:1.0")
    return image


def check_options(options: Options) -> None:
    """Raises BadInput for a name that Kubernetes would refuse, and for a helper that could not stay."""
    if options.helper and options.sidecar is not Sidecar.NATIVE:
        raise BadInput("--helper", f"with --sidecar {options.sidecar}", "native sidecars: elsewhere `init` has to end")
    if options.config_map is not None and not (len(options.config_map) <= 253 and _NAME.fullmatch(options.config_map)):
        raise BadInput(
            "--config-map", options.config_map, "the name of a ConfigMap: lower-case letters, digits, - and ."
        )


def init_container(intent: Intent, options: Options) -> dict[str, Value]:
    made: dict[str, Value] = {
        "name": INIT,
        "image": options.image,
        "args": init_arguments(intent, helper=options.helper),
        **({"restartPolicy": "Always"} if options.helper else {}),
        "resources": {"requests": {"cpu": "10m", "memory": "48Mi"}},
        "securityContext": {
            **_confined(capabilities(intent, helper=options.helper)),
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
        },
    }
    if intent.mode is Mode.EBPF:
        made["volumeMounts"] = [
            {"name": BPFFS, "mountPath": "/sys/fs/bpf", "mountPropagation": "HostToContainer"},
            {"name": CGROUPS, "mountPath": "/host/cgroup", "readOnly": True},
        ]
    return made


def proxy_container(intent: Intent, options: Options) -> dict[str, Value]:
    probe: dict[str, Value] = {"httpGet": {"path": "/healthz/ready", "port": TELEMETRY_PORT}, "periodSeconds": 1}
    made: dict[str, Value] = {
        "name": PROXY,
        "image": options.image,
        "args": proxy_arguments(intent, configured=options.config_map is not None, helper=options.helper),
    }
    if options.sidecar is Sidecar.NATIVE:
        made["restartPolicy"] = "Always"
    made |= {
        "env": [_field(name, path) for name, path in _ENVIRONMENT.items()],
        "ports": [{"name": "tidegate-stats", "containerPort": TELEMETRY_PORT, "protocol": "TCP"}],
        "startupProbe": {**probe, "failureThreshold": 60},
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 3},
        "resources": {"requests": {"cpu": "10m", "memory": "48Mi"}},
        "securityContext": {
            **_confined(()),
            "runAsUser": user(intent)[0],
            "runAsGroup": user(intent)[1],
            "runAsNonRoot": True,
        },
    }
    if options.sidecar is Sidecar.CONTAINER:
        # All containers are ended at once here: the proxy goes on serving until the workload has no socket left.
        made["lifecycle"] = {"preStop": {"exec": {"command": _linger(intent)}}}
    mounts: list[Value] = [{"name": LABELS, "mountPath": LABELS_FOLDER, "readOnly": True}]
    if options.config_map is not None:
        mounts.append({"name": CONFIG, "mountPath": CONFIG_FOLDER, "readOnly": True})
    made["volumeMounts"] = mounts
    return made


def _linger(intent: Intent) -> list[Value]:
    uid, usual = user(intent)[0], user(Intent())[0]
    return ["/usr/bin/tidegate", "linger", *([] if uid == usual else [f"--proxy-uid={uid}"])]


def volumes(intent: Intent, options: Options) -> list[dict[str, Value]]:
    """What both containers mount. The pod's labels say which service and revision metrics are about. In ebpf mode the
    capture outlives the init container, so it is kept in the host's file systems (docs/capture.md, In a container)."""
    labels: Value = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    made: list[dict[str, Value]] = [{"name": LABELS, "downwardAPI": {"items": [labels]}}]
    if options.config_map is not None:
        made.append({"name": CONFIG, "configMap": {"name": options.config_map}})
    if intent.mode is Mode.EBPF:
        made.append({"name": BPFFS, "hostPath": {"path": "/sys/fs/bpf", "type": "Directory"}})
        made.append({"name": CGROUPS, "hostPath": {"path": "/sys/fs/cgroup", "type": "Directory"}})
    return made


_ENVIRONMENT = {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace", "NODE_NAME": "spec.nodeName"}


def _field(name: str, path: str) -> dict[str, Value]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _confined(wanted: Iterable[str]) -> dict[str, Value]:
    dropped: dict[str, Value] = {"drop": ["ALL"]}
    added = list(wanted)
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"add": added, **dropped} if added else dropped,
        "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
