"""What this host says of itself in /proc and /sys: kernel, privilege, cgroup layout, settings, limits."""

import os
import re
import resource
import shutil
from pathlib import Path
from typing import Any

from intercept.host import cgroups

_CAPABILITIES = {
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_RESOURCE": 24,
    "CAP_BPF": 39,
}
_TOOLS = ("nft", "iptables", "iptables-legacy", "iptables-nft", "ipset", "conntrack")


def kernel() -> dict[str, Any]:
    about = os.uname()
    return {"release": about.release, "machine": about.machine, "version": list(version_of(about.release))}


def version_of(release: str) -> tuple[int, int]:
    """`6.1.0-50-amd64` -> (6, 1). (0, 0) for what doesn't begin like a release."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def privileges() -> dict[str, Any]:
    """capabilities: those that matter here and that this process has. user_namespace: not the host's own."""
    effective = 0
    for line in read("/proc/thread-self/status").splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
    whole = [line.split() for line in read("/proc/self/uid_map").splitlines()]
    return {
        "uid": os.geteuid(),
        "capabilities": [name for name, bit in _CAPABILITIES.items() if effective >> bit & 1],
        "user_namespace": whole != [["0", "0", "4294967295"]],
    }


def cgroup() -> dict[str, Any]:
    """layout: v2, hybrid (v2 beside v1), v1 (v2 not mounted) or none."""
    mountinfo = read("/proc/self/mountinfo")
    v1 = any(line.partition(" - ")[2].startswith("cgroup ") for line in mountinfo.splitlines())
    mounted = cgroups.find_mount_point()
    layout = ("hybrid" if v1 else "v2") if mounted else ("v1" if v1 else "none")
    own = next((line[3:] for line in read("/proc/self/cgroup").splitlines() if line.startswith("0::")), None)
    return {
        "layout": layout,
        "mount_point": str(mounted) if mounted else None,
        "own": own,
        "namespace": _differs_from_init("cgroup"),
        "writable": bool(mounted and os.access(mounted, os.W_OK)),
    }


def _differs_from_init(kind: str) -> bool | None:
    """None: process 1 is closed to us."""
    try:
        return os.readlink(f"/proc/self/ns/{kind}") != os.readlink(f"/proc/1/ns/{kind}")
    except OSError:
        return None


def settings() -> dict[str, Any]:
    """Of the kernel, as they bear on capture; None for what isn't there."""
    lockdown = re.search(r"\[(\w+)\]", read("/sys/kernel/security/lockdown"))
    ports = read("/proc/sys/net/ipv4/ip_local_port_range").split()
    return {
        "unprivileged_bpf_disabled": number("/proc/sys/kernel/unprivileged_bpf_disabled"),
        "bpf_jit_enable": number("/proc/sys/net/core/bpf_jit_enable"),
        "lockdown": lockdown[1] if lockdown else None,
        "btf": os.path.exists("/sys/kernel/btf/vmlinux"),
        "modules_disabled": number("/proc/sys/kernel/modules_disabled"),
        "ip_local_port_range": [int(port) for port in ports] or None,
        "conntrack": {
            "count": number("/proc/sys/net/netfilter/nf_conntrack_count"),
            "max": number("/proc/sys/net/netfilter/nf_conntrack_max"),
        },
        "read_only_root": _read_only_root(),
    }


def _read_only_root() -> bool:
    return bool(os.statvfs("/").f_flag & os.ST_RDONLY)


def limits() -> dict[str, Any]:
    """Soft and hard; -1 is no limit."""
    return {
        "nofile": list(resource.getrlimit(resource.RLIMIT_NOFILE)),
        "memlock": list(resource.getrlimit(resource.RLIMIT_MEMLOCK)),
        "file_max": number("/proc/sys/fs/file-max"),
    }


def loopback_is_up() -> bool:
    """Captured connections go to the proxy through it. Asked of this network namespace, not of the mounted /sys."""
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        answer = fcntl.ioctl(one, 0x8913, struct.pack("16sH14x", b"lo", 0))  # SIOCGIFFLAGS
    flags: int = struct.unpack_from("H", answer, 16)[0]
    return bool(flags & 1)


def tools() -> dict[str, str | None]:
    """Programs people look at the result with. No backend needs them."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    return {name: shutil.which(name, path=path) for name in _TOOLS}


def number(path: str) -> int | None:
    text = read(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
