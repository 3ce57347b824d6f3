"""What a plan does not do: what a mode refuses, what stays uncaptured and is said, what deserves a warning. Pure."""

from collections.abc import Iterator

from intercept.errors import Unsupported
from intercept.host.facts import HostFacts
from intercept.intent.intent import Dns, Intent, Ipv6, Mode


def refuse_what_mode_cannot(intent: Intent, host: HostFacts, mode: Mode) -> None:
    """Raise Unsupported, naming the flag and the mode."""
    if mode is Mode.AUTO:
        raise ValueError("a plan is made for a resolved mode")
    if mode is Mode.EBPF:
        _refuse_interfaces(intent)
    if mode is Mode.IPTABLES and intent.cgroup is not None and intent.inbound_explicit:
        raise Unsupported(
            "--include-inbound-ports with --cgroup is not possible in iptables mode: its cgroup match sees outbound "
            "packets only. Use --mode nftables or ebpf, or leave inbound out with --include-inbound-ports ''"
        )
    lacking = host.ipv6_missing or ip6tables_missing(host, mode)
    if intent.ipv6 is Ipv6.REQUIRED and lacking is not None:
        raise Unsupported(f"--ipv6 required cannot be met in {mode} mode: {lacking}")


def _refuse_interfaces(intent: Intent) -> None:
    for flag, names in (
        ("--exclude-interfaces", intent.exclude_interfaces),
        ("--virtual-interfaces", intent.virtual_interfaces),
    ):
        if names:
            raise Unsupported(
                f"{flag} is not possible in ebpf mode: at connect() no interface has been chosen yet, and forwarded "
                "packets pass no socket. Use --mode nftables or iptables"
            )


def ip6tables_missing(host: HostFacts, mode: Mode) -> str | None:
    return host.ip6tables_missing if mode is Mode.IPTABLES else None


def inbound_left_out(intent: Intent, mode: Mode) -> bool:
    """iptables can't tell for which cgroup a packet arrives; capturing everybody's inbound would overstep --cgroup."""
    return mode is Mode.IPTABLES and intent.cgroup is not None and intent.inbound.include_ports != ()


def left_uncaptured(intent: Intent, host: HostFacts, mode: Mode) -> Iterator[str]:
    if intent.dns is Dns.OFF:
        yield "UDP, QUIC (HTTP/3) and DNS among it"
    else:
        yield "UDP other than DNS, QUIC (HTTP/3) among it"
    yield _uncaptured_of_ipv6(intent, host, mode)
    if mode is Mode.EBPF:
        yield "sockets that are bound to a network interface (SO_BINDTODEVICE): they go direct"
    if inbound_left_out(intent, mode):
        yield "inbound: iptables mode cannot limit inbound capture to --cgroup"
    exempt = intent.exempt
    for kind, members in (("users", exempt.uids), ("groups", exempt.gids)):
        if members:
            yield f"traffic of the {kind} {', '.join(map(str, members))} (the proxy)"
    if exempt.mark is not None:
        yield f"traffic with socket mark {exempt.mark:#x} (the proxy)"
    if intent.cgroup is not None:
        yield f"processes outside cgroup {intent.cgroup}"
    if intent.outbound.include_gids is not None:
        yield "groups that --include-outbound-gids does not list"
    if intent.outbound.exclude_gids:
        yield "groups of --exclude-outbound-gids"
    for interface in intent.exclude_interfaces:
        yield f"interface {interface}"


def _uncaptured_of_ipv6(intent: Intent, host: HostFacts, mode: Mode) -> str:
    if intent.ipv6 is Ipv6.OFF:
        return "IPv6: --ipv6 is off"
    if lacking := host.ipv6_missing or ip6tables_missing(host, mode):
        return f"IPv6: {lacking}"
    return "outbound to IPv6 link-local addresses (fe80::/10), DNS servers among them"


def warnings_about(intent: Intent, host: HostFacts, mode: Mode) -> Iterator[str]:
    for kind, members in (("uid", intent.exempt.uids), ("gid", intent.exempt.gids)):
        if 0 in members:
            yield f"--proxy-{kind} 0 exempts everything that runs as root from capture, the workload too if it does"
    if intent.dns is Dns.RESOLVERS and not host.resolvers:
        yield "--dns resolvers: resolv.conf names no server, so no DNS is captured"
    if not (intent.exempt.uids or intent.exempt.gids or intent.exempt.mark or intent.cgroup):
        yield "nobody is exempt by uid, gid, mark or cgroup: a proxy in this namespace would capture its own traffic"
    yield from bound_sockets(intent, host, mode)


def bound_sockets(intent: Intent, host: HostFacts, mode: Mode) -> Iterator[str]:
    """A rule can't tell a socket that is bound to an interface; redirected to the loopback address it times out."""
    captured = [name for name in host.interfaces if name not in intent.exclude_interfaces]
    if mode is not Mode.EBPF and len(captured) > 1:
        yield (
            f"this host has several interfaces ({', '.join(captured[:4])}), and connections of sockets bound to one "
            f"(SO_BINDTODEVICE) time out in {mode} mode: leave such programs alone with --exclude-outbound-gids, "
            "their interface with --exclude-interfaces, or use --mode ebpf"
        )
