"""The arguments of `tidegate init` and `tidegate proxy` for a container. Pure.

They are made of the validated intent, never of a user's text.
"""

from intercept.errors import BadInput
from intercept.intent.from_flags import Raw
from intercept.intent.intent import Dns, Intent, Mode, SelfCalls
from intercept.plan.stored import as_flags

CONFIG_FOLDER = "/etc/tidegate"
_HAIRPIN_SOURCES = "127.0.0.6,::6"
"""What `--self-calls hairpin` asks of the proxy (docs/capture.md, Known limits)."""
_CAPABILITIES = {
    Mode.AUTO: ("NET_ADMIN", "NET_RAW"),
    Mode.NFTABLES: ("NET_ADMIN",),
    Mode.IPTABLES: ("NET_ADMIN", "NET_RAW"),
    Mode.TPROXY: ("NET_ADMIN",),
    Mode.EBPF: ("NET_ADMIN", "BPF", "PERFMON", "SYS_ADMIN"),
}
"""`auto` is not given what ebpf needs: a pod that asks for less is let in by more clusters, and netfilter will do."""
_HELPER = (
    *("DAC_OVERRIDE", "KILL", "NET_ADMIN", "NET_RAW", "SETGID", "SETUID"),
    *("SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE"),
)
"""What `init --helper` needs (docs/capture.md); a test holds it to the companion's."""


def check(intent: Intent) -> None:
    """Raises BadInput for what a proxy without capabilities, in a container of its own, could not keep."""
    if intent.mode is Mode.TPROXY:
        raise BadInput("--mode", "tproxy", "auto, nftables or iptables: the proxy runs without capabilities")
    if intent.exempt.mark is not None:
        raise BadInput("--proxy-mark", str(intent.exempt.mark), "no mark: the proxy runs without capabilities")
    if 0 in intent.exempt.uids[:1]:
        raise BadInput("--proxy-uid", "0", "another user first: the proxy does not run as root")


def init_arguments(intent: Intent, *, helper: bool = False) -> list[str]:
    """helper: it stays as the proxy's helper."""
    return ["init", *_arguments(_capture_flags(intent)), *(["--helper=stay"] if helper else [])]


def proxy_arguments(intent: Intent, *, configured: bool, helper: bool = False) -> list[str]:
    """configured: documents stand in CONFIG_FOLDER. helper: `init` stays as the helper."""
    wanted = ["--helper=required"] if helper else []
    return ["proxy", *_arguments(_proxy_flags(intent, configured)), *wanted]


def capabilities(intent: Intent, *, helper: bool = False) -> tuple[str, ...]:
    """Of `init` (docs/capture.md, Privileges)."""
    own = _CAPABILITIES[intent.mode]
    return (*own, *(one for one in _HELPER if one not in own)) if helper else own


def user(intent: Intent) -> tuple[int, int]:
    """The proxy's user and group."""
    return intent.exempt.uids[0], intent.exempt.gids[0] if intent.exempt.gids else intent.exempt.uids[0]


def _capture_flags(intent: Intent) -> dict[str, Raw]:
    """What differs from `init`'s defaults, as the parser understood it."""
    usual = as_flags(Intent())
    return {name: value for name, value in as_flags(intent).items() if usual.get(name) != value}


def _proxy_flags(intent: Intent, configured: bool) -> dict[str, Raw]:
    ports, usual = intent.listeners, Intent().listeners
    flags: dict[str, Raw] = {}
    if ports.outbound != usual.outbound:
        flags["outbound-port"] = ports.outbound
    if ports.inbound != usual.inbound:
        flags["inbound-port"] = ports.inbound
    # A listener that nothing is steered to would only be one more door.
    if intent.dns is Dns.OFF:
        flags["dns-port"] = "off"
    elif ports.dns != usual.dns:
        flags["dns-port"] = ports.dns
    if intent.self_calls is SelfCalls.HAIRPIN:
        flags["inbound-source"] = _HAIRPIN_SOURCES
    if configured:
        flags["config"] = CONFIG_FOLDER
    return flags


def _arguments(flags: dict[str, Raw]) -> list[str]:
    found: list[str] = []
    for name, value in flags.items():
        if value is True:
            found.append(f"--{name}")
        elif isinstance(value, list | tuple):
            found += [f"--{name}={one}" for one in value]
        elif value is not False:
            found.append(f"--{name}={value}")
    return found
