"""Who else is at work where capture would be: other meshes' and container engines' rules, other people's BPF programs.

Only looked at, never touched. Each list says `what`, `where` and, for programs, whether they leave room for ours.
"""

import ctypes
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from ctypes import byref, c_int, c_uint32
from typing import Any

from bpf import attach as hooks
from bpf.attach import Where
from intercept.host import cgroups

_ALLOW_MULTI = 1 << 1
_MOST_PROGRAMS = 64
_NAME_OF_PROGRAM = slice(64, 80)
"""Of struct bpf_prog_info."""
_NAME_OF_MAP = slice(24, 40)
_INFO_SIZE = 232
_OUR_MAPS = b"tg_"

MESHES = (
    ("Istio", ("ISTIO_", "istio-")),
    ("Linkerd", ("PROXY_INIT_",)),
    ("Kuma", ("KUMA_MESH_", "MESH_INBOUND", "MESH_OUTBOUND")),
    ("Consul", ("CONSUL_PROXY_", "CONSUL_DNS_")),
)
OTHERS = (
    ("Docker", ("DOCKER",)),
    ("kube-proxy", ("KUBE-", "kube-proxy")),
    ("Cilium", ("CILIUM_", "cil_")),
    ("Calico", ("cali-", "calico")),
    ("sshuttle", ("sshuttle-",)),
    ("firewalld", ("firewalld",)),
)


def known(names: list[str]) -> list[dict[str, Any]]:
    """Which tools these names of chains and tables betray, each once. mesh: it captures traffic as we do. Pure."""
    found = []
    for group, mesh in ((MESHES, True), (OTHERS, False)):
        for tool, prefixes in group:
            mine = sorted({name for name in names if name.startswith(prefixes)})
            if mine:
                found.append({"tool": tool, "mesh": mesh, "chains": mine})
    return found


def rules() -> list[dict[str, Any]]:
    """Tools whose rules stand in this network namespace, in nftables (iptables-nft among it) or the legacy tables."""
    return known(_nft_names() + _legacy_names())


def _nft_names() -> list[str]:
    from intercept.backends.nftables.session import Session

    with Session() as session:
        listing = session.run("list chains", "list the chains of all tables")
    return re.findall(r"^\s*(?:table \S+|chain) (\S+) \{", listing, re.MULTILINE)


def _legacy_names() -> list[str]:
    """Only where a table is loaded: to ask for one would load it."""
    names: list[str] = []
    for version, command in ((4, "iptables-legacy-save"), (6, "ip6tables-legacy-save")):
        loaded = f"/proc/thread-self/net/ip{'6' if version == 6 else ''}_tables_names"
        try:
            with open(loaded, encoding="ascii") as file:
                if not file.read().strip():
                    continue
            done = subprocess.run([command], capture_output=True, text=True, check=False, timeout=2)
        except (OSError, subprocess.TimeoutExpired):
            continue
        names += re.findall(r"^:(\S+) -", done.stdout, re.MULTILINE)
    return names


def programs() -> list[dict[str, Any]]:
    """Programs of others on our cgroup hooks at the top of the cgroup namespace: hook, program, id, shared."""
    mounted = cgroups.find_mount_point()
    if mounted is None:
        return []
    top = os.open(mounted, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
        return [one for name, number in _cgroup_hooks().items() for one in _on_hook(library, top, name, number)]
    finally:
        os.close(top)


def _cgroup_hooks() -> dict[str, int]:
    """Name -> number, each number once."""
    numbers = {int(hook.attach): hook.name for hook in reversed(hooks.ALL) if hook.where is not Where.NETNS}
    return {name: number for number, name in numbers.items()}


def _on_hook(library: ctypes.CDLL, top: int, name: str, number: int) -> Iterator[dict[str, Any]]:
    ids = (c_uint32 * _MOST_PROGRAMS)()
    flags, count = c_uint32(0), c_uint32(_MOST_PROGRAMS)
    if library.bpf_prog_query(c_int(top), c_int(number), c_uint32(0), byref(flags), ids, byref(count)) != 0:
        return  # a hook that this kernel hasn't got
    for identifier in ids[: count.value]:
        described = _describe(library, identifier)
        if described is not None:
            shared = bool(flags.value & _ALLOW_MULTI)
            yield {"hook": name, "program": described, "id": identifier, "shared": shared}


def _describe(library: ctypes.CDLL, identifier: int) -> str | None:
    """The program's name; None when it is ours, or has gone meanwhile."""
    fd = library.bpf_prog_get_fd_by_id(c_uint32(identifier))
    if fd < 0:
        return None
    try:
        maps = (c_uint32 * _MOST_PROGRAMS)()
        # nr_map_ids and map_ids: how many there is room for, and where.
        asked = bytearray(_INFO_SIZE)
        struct.pack_into("=IQ", asked, 52, _MOST_PROGRAMS, ctypes.addressof(maps))
        info = _info(library, fd, asked)
        if info is None:
            return None
        (used,) = struct.unpack_from("=I", info, 52)
        if any(_map_name(library, one).startswith(_OUR_MAPS) for one in maps[: min(used, _MOST_PROGRAMS)]):
            return None
        return info[_NAME_OF_PROGRAM].rstrip(b"\0").decode(errors="replace") or "without a name"
    finally:
        os.close(fd)


def _map_name(library: ctypes.CDLL, identifier: int) -> bytes:
    fd = library.bpf_map_get_fd_by_id(c_uint32(identifier))
    if fd < 0:
        return b""
    try:
        info = _info(library, fd, bytearray(_INFO_SIZE))
        return info[_NAME_OF_MAP].rstrip(b"\0") if info is not None else b""
    finally:
        os.close(fd)


def _info(library: ctypes.CDLL, fd: int, asked: bytearray) -> bytes | None:
    buffer = (ctypes.c_char * len(asked)).from_buffer(asked)
    length = c_uint32(len(asked))
    if library.bpf_obj_get_info_by_fd(c_int(fd), buffer, byref(length)) != 0:
        return None
    return bytes(asked)
