"""Everything of a namespace that capture may touch, as text, so that "exactly as before" is a comparison of strings.

Only what the kernel itself keeps changing is taken out: packet counters, time stamps, remaining timeouts. And empty
built-in tables of iptables-legacy: the kernel makes them when somebody first looks and nobody can unmake them.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab import bpf_links
from tests.lab.namespaces import Namespace

BPFFS = Path("/sys/fs/bpf")
COMMANDS = {
    "nft": "nft list ruleset",
    "iptables-legacy": "iptables-legacy-save",
    "ip6tables-legacy": "ip6tables-legacy-save",
    "ip rule": "ip rule",
    "ip -6 rule": "ip -6 rule",
    "ip route": "ip route show table all",
    "ip -6 route": "ip -6 route show table all",
    "ipset": "ipset save",
    "addresses": "ip -o addr show",
    "links": "ip -o -d link show",
    "qdisc": "tc qdisc show",
}
SEPARATOR = "=#=#= "
SYSCTL_PATTERNS = (
    "net/ipv4/ip_forward",
    "net/ipv4/ip_nonlocal_bind",
    "net/ipv6/ip_nonlocal_bind",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/tcp_fwmark_accept",
    "net/ipv4/fwmark_reflect",
    "net/ipv4/conf/*/route_localnet",
    "net/ipv4/conf/*/rp_filter",
    "net/ipv4/conf/*/src_valid_mark",
    "net/ipv4/conf/*/accept_local",
    "net/ipv4/conf/*/forwarding",
    "net/ipv6/conf/*/forwarding",
    "net/ipv6/conf/*/disable_ipv6",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "net/netfilter/nf_conntrack_tcp_loose",
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    sections: Mapping[str, str]

    def diff(self, later: Snapshot) -> str:
        """What `later` has or lacks, as a unified diff; empty when they are equal to the byte."""
        parts: list[str] = []
        for name in self.sections.keys() | later.sections.keys():
            before, after = self.sections.get(name, ""), later.sections.get(name, "")
            if before != after:
                names = (f"{name} before", f"{name} after")
                parts += difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
        return "\n".join(parts)


def take(namespace: Namespace, *, handles: bool = False) -> Snapshot:
    """`handles` adds nft's rule handles and BPF ids, by which a rule that was replaced by an equal one differs."""
    commands = dict(COMMANDS)
    if handles:
        commands["nft"] = "nft -a list ruleset"
    script = "\n".join(f"echo '{SEPARATOR}{name}'; {command} || exit 1" for name, command in commands.items())
    output = namespace.run(["sh", "-c", script]).stdout
    sections: dict[str, str] = {}
    for block in output.split(SEPARATOR)[1:]:
        name, _, text = block.partition("\n")
        sections[name] = normalise(name, text)
    sections["sysctl"] = sysctls(namespace)
    sections["bpf"] = bpf_objects(namespace, ids=handles)
    return Snapshot(sections)


def normalise(name: str, text: str) -> str:
    if name == "nft":
        text = re.sub(r"packets \d+ bytes \d+", "packets 0 bytes 0", text)
        return re.sub(r" expires [0-9dhms]+", "", text)
    if name.endswith("-legacy"):
        text = re.sub(r"\[\d+:\d+\]", "[0:0]", text)
        return "".join(t for t in legacy_tables(text) if not untouched(t))
    if name == "ipset":
        return re.sub(r" timeout \d+$", " timeout N", text, flags=re.MULTILINE)
    if name == "addresses":
        # an address that is no longer tentative hasn't been touched by anybody
        return re.sub(r" (tentative|dadfailed)", "", text)
    return text


def legacy_tables(save: str) -> list[str]:
    """The tables of an iptables-save output, sorted by name, without comment lines."""
    lines = [line for line in save.splitlines(keepends=True) if not line.startswith("#")]
    return sorted(re.findall(r"^\*.*?^COMMIT\n", "".join(lines), flags=re.MULTILINE | re.DOTALL))


def untouched(table: str) -> bool:
    return re.fullmatch(r"\*\w+\n(:\w+ ACCEPT \[0:0\]\n)*COMMIT\n", table) is not None


def sysctls(namespace: Namespace) -> str:
    lines = []
    root = Path("/proc/sys")
    with namespace.entered():
        for pattern in SYSCTL_PATTERNS:
            for path in sorted(root.glob(pattern)):
                lines.append(f"{path.relative_to(root)} = {path.read_text().strip()}\n")
    return "".join(lines)


def bpf_objects(namespace: Namespace, *, ids: bool) -> str:
    """Links that hang on this namespace, and every pin that is filed under its inode or its cookie."""
    inode = namespace.inode
    lines = []
    for link in bpf_links.of_namespace(inode):
        which = f" {link['id']} {link['prog_id']}" if ids else ""
        lines.append(f"link {link['type']} {link.get('attach_type')}{which}\n")
    names = {str(inode), str(namespace.cookie()), namespace.name}
    # os.walk passes over what goes away meanwhile: other namespaces' pins come and go at any time
    for folder, folders, files in os.walk(BPFFS):
        for name in (*folders, *files):
            path = Path(folder, name)
            if names.intersection(path.parts):
                lines.append(f"pinned {path}\n")
    return "".join(sorted(lines))
