"""From what a run was asked to do to the command line of its proxy, and to what is captured for it. Pure."""

from typing import NamedTuple

from intercept.intent.intent import Dns, Intent, Mode
from tidegate.supervise.settings import RunSettings


class Ports(NamedTuple):
    """Where the proxy listens; 0: any free port."""

    outbound: int
    inbound: int
    dns: int = 0


def scoped(intent: Intent, cgroup: str, ports: Ports) -> Intent:
    """The intent for the processes of one cgroup folder, and for the ports that the proxy has got."""
    dns = ports.dns or intent.listeners.dns
    listeners = intent.listeners._replace(outbound=ports.outbound, inbound=ports.inbound, dns=dns)
    return intent._replace(cgroup=cgroup, listeners=listeners)


def proxy_flags(settings: RunSettings, ports: Ports) -> list[str]:
    """The flags of `tidegate proxy`. One that replaces another takes over its ports."""
    intent = settings.intent
    dns = "off" if intent.dns is Dns.OFF else str(ports.dns)
    flags = ["--outbound-port", str(ports.outbound), "--inbound-port", str(ports.inbound), "--dns-port", dns]
    if intent.exempt.uids:
        flags += ["--proxy-uid", str(intent.exempt.uids[0])]
    if intent.exempt.gids:
        flags += ["--proxy-gid", str(intent.exempt.gids[0])]
    # See intercept.host.transparency: the listener must be transparent for TPROXY and must not be for REDIRECT.
    flags += ["--inbound-original-dst", "auto" if intent.mode is Mode.TPROXY else "sockopt"]
    if not settings.filtered:
        flags += ["--seccomp", "off"]
    for path in settings.config:
        flags += ["--config", path]
    flags += ["--admin", settings.admin, "--telemetry", "off"]
    return [*flags, "--lane", settings.lane, "--log-level", settings.log_level]
