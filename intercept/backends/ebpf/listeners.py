"""Inbound listeners into the map that sk_lookup gives connections to.

A proxy that begins to listen after `init` is registered by the sockops program itself (Linux 5.15). Here is the rest:
those that listened before, found through /proc, and those that somebody names (`adopt`).
"""

import ctypes
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bpf.layout import SHARERS, SLOTS, address_bytes
from cext.libbpf import libbpf
from intercept.errors import PrivilegeMissing, Unsupported

if TYPE_CHECKING:
    import socket

_PIDFD_GETFD = 438  # the same on every architecture
_SOL_SOCKET, _SO_COOKIE = 1, 57
_LISTEN = "0A"


def register_existing(maps: Mapping[str, int], port: int) -> list[str]:
    """All listeners of this network namespace on the inbound port. Returns who they are, for a person."""
    inodes = set(_listening_inodes(port))
    if not inodes:
        return []
    found = []
    for pid, fd in _holders(inodes):
        with suppress(OSError), _taken(pid, fd) as listener:
            if register(maps, listener, port):
                found.append(f"process {pid}")
    return found


def register_of(maps: Mapping[str, int], pid: int, port: int) -> list[str]:
    """The listeners of one process on the inbound port. Raises PrivilegeMissing, Unsupported, ProcessLookupError."""
    inodes = set(_listening_inodes(port))
    found = []
    for fd, inode in _sockets_of(pid):
        if inode not in inodes:
            continue
        try:
            with _taken(pid, fd) as listener:
                register(maps, listener, port)
                found.append(f"{listener.getsockname()[0]} port {port}")
        except PermissionError as error:
            raise PrivilegeMissing("CAP_SYS_PTRACE", f"take a socket from process {pid}") from error
    return found


def register(maps: Mapping[str, int], listener: "socket.socket", port: int) -> bool:
    """False: it isn't a TCP listener on that port. Registering one twice changes nothing.

    The caller keeps its socket. Raises Unsupported where all places are taken.
    """
    import socket

    if listener.family not in (socket.AF_INET, socket.AF_INET6) or listener.type != socket.SOCK_STREAM:
        return False
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) or listener.getsockname()[1] != port:
        return False
    fd = struct.pack("=i", listener.fileno())
    libbpf.map_update(maps["tg_inbound_of"], fd, struct.pack("=I", port))
    first = 0 if listener.family == socket.AF_INET else SLOTS
    _place(maps["tg_inbound"], listener, [struct.pack("=I", first + slot) for slot in range(SLOTS)])
    return True


def register_workload(maps: Mapping[str, int], folder: Path) -> int:
    """Everything that processes of this cgroup folder, or below it, listen on already. How many sockets."""
    count = 0
    inodes = set(_listening_inodes(None))
    for procs in [folder / "cgroup.procs", *folder.glob("**/cgroup.procs")]:
        with suppress(OSError):
            for pid in map(int, procs.read_text(encoding="ascii").split()):
                for fd, inode in _sockets_of(pid):
                    if inode in inodes:
                        with suppress(OSError), _taken(pid, fd) as listener:
                            _place_workload(maps, listener)
                            count += 1
    return count


def _place_workload(maps: Mapping[str, int], listener: "socket.socket") -> None:
    import ipaddress

    host, port = listener.getsockname()[:2]
    address = address_bytes(ipaddress.ip_address(host.partition("%")[0]))
    keys = [address + struct.pack("=HH", port, sharer) for sharer in range(SHARERS)]
    _place(maps["tg_workload"], listener, keys)


def _place(target: int, listener: "socket.socket", keys: list[bytes]) -> None:
    """Into the first free of these places, unless it has one of them. The maps answer look-ups with socket cookies."""
    cookie = listener.getsockopt(_SOL_SOCKET, _SO_COOKIE, 8)
    free = None
    for key in keys:
        there = libbpf.map_lookup(target, key, 8)
        if there == cookie:
            return
        if there is None and free is None:
            free = key
    if free is None:
        raise Unsupported(f"no more than {len(keys)} sockets may listen on port {listener.getsockname()[1]}")
    libbpf.map_update(target, free, struct.pack("=Q", listener.fileno()))


def _listening_inodes(port: int | None) -> Iterator[int]:
    """None: on any port."""
    for table in ("tcp", "tcp6"):
        try:
            text = Path(f"/proc/thread-self/net/{table}").read_text(encoding="ascii")
        except OSError:
            continue
        for line in text.splitlines()[1:]:
            fields = line.split()
            local = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == _LISTEN and port in (None, local):
                yield int(fields[9])


def _holders(inodes: set[int]) -> Iterator[tuple[int, int]]:
    """(pid, fd) once for each of these sockets that some process has open."""
    wanted = set(inodes)
    for entry in os.listdir("/proc"):
        if not wanted:
            return
        if entry.isdigit():
            for fd, inode in _sockets_of(int(entry)):
                if inode in wanted:
                    wanted.discard(inode)
                    yield int(entry), fd


def _sockets_of(pid: int) -> Iterator[tuple[int, int]]:
    """(fd, inode). A process that is gone or not ours to look into has none."""
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            target = os.readlink(f"{folder}/{name}")
            if target.startswith("socket:["):
                yield int(name), int(target[8:-1])


def _taken(pid: int, fd: int) -> "socket.socket":
    """A duplicate of another process' socket, ours to close. Linux 5.6, CAP_SYS_PTRACE."""
    import socket

    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        copy = libc.syscall(ctypes.c_long(_PIDFD_GETFD), process, fd, 0)
        if copy < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(process)
    return socket.socket(fileno=copy)
