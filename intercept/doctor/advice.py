"""What to install or set to get more out of this host. Pure: from doctor's report to sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

_FEW_PORTS = 10_000
_FEW_FILES = 65_536
_FULL = 0.8
_LOST_WITHOUT_EBPF = "captured connections then cost conntrack entries and ports"


def advise(report: Mapping[str, Any]) -> list[str]:
    """The most useful first. Empty: nothing to wish for."""
    found: list[str] = []
    for rule in (_privilege, _kernel, _netfilter, _cgroups, _network, _limits, _neighbours):
        found += [line for line in rule(report) if line not in found]
    return found


def _reasons(report: Mapping[str, Any]) -> dict[str, str]:
    return {mode["mode"]: mode["reason"] or "" for mode in report["modes"]}


def _privilege(report: Mapping[str, Any]) -> Iterator[str]:
    held = report["privileges"]["capabilities"]
    if "CAP_NET_ADMIN" not in held:
        yield "run as root, or with CAP_NET_ADMIN: every mode needs it"
    elif "CAP_BPF" not in held and "CAP_SYS_ADMIN" not in held:
        yield "ebpf mode needs CAP_BPF too (CAP_SYS_ADMIN has it in it)"
    if report["privileges"]["user_namespace"] and _reasons(report)["ebpf"]:
        yield "in a user namespace BPF programs can't be loaded: run init in the host's user namespace (with --netns)"
    if report["settings"]["lockdown"] == "confidentiality" and _reasons(report)["ebpf"]:
        yield "kernel lockdown is set to confidentiality, which limits BPF: lockdown=integrity allows it"


def _kernel(report: Mapping[str, Any]) -> Iterator[str]:
    if not _reasons(report)["ebpf"]:
        return
    running = tuple(report["kernel"]["version"])
    missing = [(one["hook"], one["since"]) for one in report["hooks"] if not one["works"]]
    newer = [(name, since) for name, since in missing if running < _version(since)]
    if newer:
        names = ", ".join(f"{name} (Linux {since})" for name, since in newer)
        newest = max((since for _, since in newer), key=_version)
        yield f"Linux {newest} or newer would make ebpf mode possible: this one lacks {names}; {_LOST_WITHOUT_EBPF}"
    if report["bpffs"] is None and "BPF file system" in _reasons(report)["ebpf"]:
        yield "ebpf mode keeps its programs in the BPF file system: mount -t bpf bpf /sys/fs/bpf"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _netfilter(report: Mapping[str, Any]) -> Iterator[str]:
    reasons = _reasons(report)
    if "python3-nftables" in reasons["nftables"]:
        yield "apt install python3-nftables: nftables and tproxy mode use its library"
    elif reasons["nftables"] and "CAP_" not in reasons["nftables"]:
        yield "nftables mode wants the modules nf_tables, nft_chain_nat, nft_redir, nft_fib_inet and nft_ct"
    if reasons["tproxy"] and not reasons["nftables"]:
        yield "tproxy mode wants the modules nft_tproxy and nft_socket (CONFIG_NFT_TPROXY, CONFIG_NFT_SOCKET)"
    if reasons["iptables"] and "CAP_" not in reasons["iptables"]:
        yield (
            "iptables mode (the last resort, only when nothing better works) wants libiptc (apt install iptables) and "
            "the modules iptable_nat, xt_owner, xt_set, xt_addrtype and ip_set"
        )
    if report["settings"]["modules_disabled"] == 1:
        yield "kernel.modules_disabled is 1: what isn't loaded now stays missing until the next boot"


def _cgroups(report: Mapping[str, Any]) -> Iterator[str]:
    layout = report["cgroup"]["layout"]
    if layout in ("v1", "none"):
        yield (
            "cgroup v2 is not mounted: --cgroup and `tidegate run` need it (mount -t cgroup2 none "
            "/sys/fs/cgroup/unified, or boot with systemd.unified_cgroup_hierarchy=1)"
        )
    elif not report["cgroup"]["writable"]:
        yield f"{report['cgroup']['mount_point']} can't be written: `tidegate run` can't make a folder for its command"


def _network(report: Mapping[str, Any]) -> Iterator[str]:
    if not report["network"]["loopback_up"]:
        yield "the loopback interface is down, and captured connections go through it: ip link set lo up"
    if report["network"]["ipv6_missing"]:
        yield f"IPv6 will not be captured: {report['network']['ipv6_missing']}"
    interfaces = report["network"]["interfaces"]
    if len(interfaces) > 1 and _reasons(report)["ebpf"]:
        yield (
            f"several interfaces ({', '.join(interfaces[:4])}): without ebpf mode, connections of sockets bound to one "
            "(SO_BINDTODEVICE) time out; leave such programs alone with --exclude-outbound-gids, or the interface with "
            "--exclude-interfaces"
        )
    ports = report["settings"]["ip_local_port_range"]
    if ports and ports[1] - ports[0] < _FEW_PORTS:
        yield (
            f"only {ports[1] - ports[0] + 1} local ports (net.ipv4.ip_local_port_range): each captured connection "
            "takes one more"
        )
    conntrack = report["settings"]["conntrack"]
    if conntrack["count"] is not None and conntrack["max"] and conntrack["count"] > _FULL * conntrack["max"]:
        yield (
            f"conntrack holds {conntrack['count']} of {conntrack['max']} entries: raise "
            "net.netfilter.nf_conntrack_max, or use ebpf mode, which makes none"
        )


def _limits(report: Mapping[str, Any]) -> Iterator[str]:
    hard = report["limits"]["nofile"][1]
    if 0 <= hard < _FEW_FILES:
        yield f"at most {hard} open files (ulimit -Hn): a proxied connection takes two, spliced up to six"


def _neighbours(report: Mapping[str, Any]) -> Iterator[str]:
    for found in report["neighbours"]["rules"] or ():
        if found["mesh"]:
            yield (
                f"rules of {found['tool']} stand here ({', '.join(found['chains'][:3])}): two meshes capturing the "
                "same traffic don't go together; remove its rules first"
            )
    for found in report["neighbours"]["programs"] or ():
        if not found["shared"]:
            yield (
                f"the BPF program {found['program']} (id {found['id']}) is attached to {found['hook']} at the top "
                "cgroup without BPF_F_ALLOW_MULTI: ebpf mode can't join it there"
            )
        elif found["program"].startswith("cil_"):
            yield (
                "Cilium's socket load balancing replaces service addresses before ebpf mode sees them: set "
                "bpf-lb-sock-hostns-only, or use another mode"
            )
