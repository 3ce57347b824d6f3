"""Counting what the processes of a cgroup ask for, beside any capture: bpf/hooks/seen.bpf.c loaded, attached and read.

Nothing is pinned: the programs go with the descriptors that this process holds.
"""

import os
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

from bpf.loader import OBJECTS
from cext.libbpf import libbpf
from cext.libbpf.kinds import AttachType

TCP, UDP, BOUND = 6, 17, 256
KEY = struct.Struct("=16sIIHH16s")
"""struct tg_seen_key of include/seen.h."""
_COUNT = struct.Struct("=Q")
_PROGRAMS = (
    ("seen_connect4", AttachType.CONNECT4),
    ("seen_connect6", AttachType.CONNECT6),
    ("seen_bind4", AttachType.POST_BIND4),
    ("seen_bind6", AttachType.POST_BIND6),
    ("seen_egress", AttachType.INET_EGRESS),
)


class Seen(NamedTuple):
    """How often a thread of this user and name asked for this destination (TCP), bound a TCP socket to this port
    (BOUND), or how many packets went there (UDP). What the kernel does not tell is 0 or empty: a packet's group and
    name; a bound socket's address, user and group."""

    address: IPv4Address | IPv6Address
    port: int
    protocol: int
    uid: int
    gid: int
    name: str
    times: int


class Observation:
    """From the construction to `close`. Raises libbpf.BpfError where the kernel refuses, and then nothing is left.

    Attach it before the hooks that rewrite destinations: programs of one cgroup run in the order of attaching.
    """

    def __init__(self, cgroup: Path) -> None:
        self._held: list[int] = []
        folder = os.open(cgroup, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with libbpf.Object(OBJECTS / "seen.bpf.o") as loaded:
                loaded.load()
                self._map = self._hold(loaded.map_fd("tg_seen"))
                self._more = self._hold(loaded.map_fd("tg_seen_more"))
                for name, where in _PROGRAMS:
                    program = self._hold(loaded.program_fd(name))
                    self._hold(libbpf.link_create(program, folder, where, f"{name} to {cgroup}"))
        except BaseException:
            self.close()
            raise
        finally:
            os.close(folder)

    def read(self) -> tuple[list[Seen], int]:
        """What was seen so far, and how much more found no room."""
        more = libbpf.map_lookup(self._more, bytes(4), _COUNT.size) or bytes(_COUNT.size)
        found = []
        for key in libbpf.map_keys(self._map, KEY.size):
            count = libbpf.map_lookup(self._map, key, _COUNT.size)
            if count is not None:
                found.append(decode(key, _COUNT.unpack(count)[0]))
        return found, _COUNT.unpack(more)[0]

    def forget(self) -> None:
        """Begin anew."""
        for key in libbpf.map_keys(self._map, KEY.size):
            libbpf.map_delete(self._map, key)

    def close(self) -> None:
        """Idempotent."""
        while self._held:
            os.close(self._held.pop())

    def _hold(self, fd: int) -> int:
        self._held.append(fd)
        return fd


def decode(key: bytes, times: int) -> Seen:
    raw, uid, gid, port, protocol, name = KEY.unpack(key)
    address = ip_address(raw)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return Seen(address, port, protocol, uid, gid, name.split(b"\0")[0].decode(errors="replace"), times)
