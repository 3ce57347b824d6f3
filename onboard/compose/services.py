"""The two services that a captured service gets in a compose file. Pure."""

import re
from dataclasses import dataclass

from intercept.errors import BadInput
from intercept.intent.intent import Intent, Mode
from onboard.annotations import INJECTED
from onboard.arguments import CONFIG_FOLDER, capabilities, init_arguments, proxy_arguments, user
from onboard.text.render import Value

INIT = "-tidegate-init"
PROXY = "-tidegate"
"""What the names of the two services end in, behind the name of the service that they serve."""
_FOLDER = re.compile(r"[\w./~-]+")


@dataclass(frozen=True, slots=True)
class Options:
    image: str
    config_folder: str | None = None
    """A folder of configuration documents for the proxy, as the compose file would name it."""


def check_options(options: Options) -> None:
    """Raises BadInput."""
    if options.config_folder is not None and not _FOLDER.fullmatch(options.config_folder):
        raise BadInput("--config-folder", options.config_folder, "a path of letters, digits and . _ - ~ /")


def init_service(name: str, intent: Intent, options: Options) -> dict[str, Value]:
    made: dict[str, Value] = {
        "image": options.image,
        "command": init_arguments(intent),
        "user": "0:0",
        "cap_add": list(capabilities(intent)),
        "depends_on": {name: {"condition": "service_started"}},
        "restart": "no",
        **_beside(name),
    }
    if intent.mode is Mode.EBPF:
        # Capture outlives this container, so it is kept in the host's file systems (docs/capture.md, In a container).
        made["volumes"] = ["/sys/fs/bpf:/sys/fs/bpf:rslave", "/sys/fs/cgroup:/host/cgroup:ro"]
    return made


def proxy_service(name: str, intent: Intent, options: Options) -> dict[str, Value]:
    uid, gid = user(intent)
    made: dict[str, Value] = {
        "image": options.image,
        "command": proxy_arguments(intent, configured=options.config_folder is not None),
        "user": f"{uid}:{gid}",
        "depends_on": {name + INIT: {"condition": "service_completed_successfully"}},
        "restart": "unless-stopped",
        **_beside(name),
    }
    if options.config_folder is not None:
        made["volumes"] = [f"{options.config_folder}:{CONFIG_FOLDER}:ro"]
    return made


def _beside(name: str) -> dict[str, Value]:
    return {
        "network_mode": f"service:{name}",
        "cap_drop": ["ALL"],
        "read_only": True,
        "security_opt": ["no-new-privileges:true"],
        "labels": {INJECTED: name},
    }
