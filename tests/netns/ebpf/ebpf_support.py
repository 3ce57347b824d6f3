"""What the eBPF tests share: sockets of a namespace, and looks into the pinned maps."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from bpf import bpffs, layout
from cext.libbpf import libbpf
from intercept.backends.ebpf.anchors import netns_cookie
from tests.lab.namespaces import Namespace

SO_ORIGINAL_DST = 80
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
PEER = {socket.AF_INET: "10.0.0.1", socket.AF_INET6: "fd00::1"}
APP = {socket.AF_INET: "10.0.0.2", socket.AF_INET6: "fd00::2"}
LEVEL = {socket.AF_INET: socket.SOL_IP, socket.AF_INET6: socket.IPPROTO_IPV6}
SIZE = {socket.AF_INET: 16, socket.AF_INET6: 28}


def made_in(namespace: Namespace, family: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    with namespace.entered():
        made = socket.socket(family, kind)
    made.settimeout(5)
    return made


@contextlib.contextmanager
def listening(namespace: Namespace, family: int, port: int, address: str = "") -> Iterator[socket.socket]:
    with made_in(namespace, family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not address.startswith("dual"):
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address.removeprefix("dual"), port))
        listener.listen(1024)
        yield listener


def decoded(raw: bytes) -> tuple[str, int]:
    family = struct.unpack_from("=H", raw)[0]
    port = struct.unpack_from(">H", raw, 2)[0]
    if family == socket.AF_INET:
        return socket.inet_ntop(family, raw[4:8]), port
    return socket.inet_ntop(family, raw[8:24]), port


def original(accepted: socket.socket, family: int) -> tuple[str, int]:
    raw = accepted.getsockopt(LEVEL[family], SO_ORIGINAL_DST, SIZE[family])
    assert len(raw) == SIZE[family]
    return decoded(raw)


def folder(namespace: Namespace, name: str = "tidegate") -> Path:
    root = bpffs.find()
    assert root is not None
    with namespace.entered():
        return bpffs.folder_of(root, str(netns_cookie())) / name


KEY_SIZES = {
    "tg_pending": layout.FLOW_SIZE,
    "tg_calling": layout.FLOW_SIZE,
    "tg_inbound": 4,
    "tg_workload": 20,
}


def entries(namespace: Namespace, name: str) -> int:
    """How many entries that map of the capture in force has."""
    fd = libbpf.get_pinned(folder(namespace) / "maps" / name)
    try:
        if name == "tg_inbound":
            slots = range(2 * layout.SLOTS)
            return sum(libbpf.map_lookup(fd, struct.pack("=I", slot), 8) is not None for slot in slots)
        return len(libbpf.map_keys(fd, KEY_SIZES[name]))
    finally:
        os.close(fd)


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """This process is in that cgroup folder; sockets stay what they were when they were made."""
    from intercept.host.cgroups import own_folder

    home = own_folder()
    (folder / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (home / "cgroup.procs").write_text(str(os.getpid()))
