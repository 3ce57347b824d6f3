"""Listeners of the captured cgroup from before its hook saw them: by socket where one can be had, else by port.

A socket leaves the map by itself when it closes. What is kept by address and port stays until user space looks again:
`init`, or the companion when it refreshes the capture.
"""

import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bpf.layout import SHARERS, TOLD_BY_HOOK, TOLD_BY_USER
from cext.libbpf import libbpf
from intercept.backends.ebpf.listeners import place
from intercept.backends.ebpf.sockets import sockets_of, taken
from intercept.errors import Unsupported

if TYPE_CHECKING:
    from intercept.backends.ebpf.diag import Listener

_KEY_SIZE = 20
_V4_LOOPBACK = bytes(10) + b"\xff\xff\x7f"
_V6_LOOPBACK = bytes(15) + b"\x01"


def register_workload(maps: Mapping[str, int], folder: Path) -> None:
    """Everything of this network namespace that processes of this cgroup folder, or below it, listen on already."""
    from intercept.backends.ebpf.diag import listeners

    there = {one.inode: one for one in listeners() if hears_others(one.address)}
    ids = {os.stat(each).st_ino for each in (folder, *_below(folder))}
    ours = {inode for inode, one in there.items() if one.cgroup in ids}
    for pid, fd, inode in _held_in(folder):
        if inode in there:
            ours.add(inode)
            with suppress(OSError, Unsupported), taken(pid, fd) as listener:
                one = there[inode]
                place(maps["tg_workload"], listener, [_key(one, sharer) for sharer in range(SHARERS)])
    _keep_by_port(maps, [there[inode] for inode in ours])


def forget_gone(maps: Mapping[str, int]) -> None:
    """Of what is kept by port because user space found it: forget where nothing listens any more."""
    found = [key for key in libbpf.map_keys(maps["tg_workload_ports"], _KEY_SIZE) if _is_told_by_user(key)]
    if not found:
        return
    from intercept.backends.ebpf.diag import listeners

    there = {_key(one, TOLD_BY_USER) for one in listeners()}
    for key in set(found) - there:
        libbpf.map_delete(maps["tg_workload_ports"], key)


def hears_others(address: bytes) -> bool:
    """Whether what arrives from outside can get there. Pure."""
    return address != _V6_LOOPBACK and not address.startswith(_V4_LOOPBACK)


def _keep_by_port(maps: Mapping[str, int], ours: "Iterable[Listener]") -> None:
    """Exactly those that no socket in the map and no count of the hook stands for."""
    by_port = maps["tg_workload_ports"]
    wanted = Counter(_key(one, TOLD_BY_USER) for one in ours if not _is_known(maps, one))
    for key in libbpf.map_keys(by_port, _KEY_SIZE):
        if _is_told_by_user(key) and key not in wanted:
            libbpf.map_delete(by_port, key)
    for key, count in wanted.items():
        try:
            libbpf.map_update(by_port, key, struct.pack("=I", count))
        except libbpf.BpfError:  # full; a workload can see to that, and must not keep `init` from working
            _keep_by_crowd(maps, key)


def _keep_by_crowd(maps: Mapping[str, int], key: bytes) -> None:
    """Its port counts at every address, until the capture is removed: nothing tells when such a listener has gone."""
    number = struct.pack("=I", struct.unpack_from("=H", key, 16)[0])
    found = libbpf.map_lookup(maps["tg_workload_crowd"], number, 4)
    if found is not None and struct.unpack("=I", found)[0] == 0:
        libbpf.map_update(maps["tg_workload_crowd"], number, struct.pack("=I", 1))


def _is_told_by_user(key: bytes) -> bool:
    return key[18:] == struct.pack("=H", TOLD_BY_USER)


def _is_known(maps: Mapping[str, int], one: "Listener") -> bool:
    if libbpf.map_lookup(maps["tg_workload_ports"], _key(one, TOLD_BY_HOOK), 4) is not None:
        return True
    cookies = (libbpf.map_lookup(maps["tg_workload"], _key(one, sharer), 8) for sharer in range(SHARERS))
    return any(cookie is not None and struct.unpack("=Q", cookie)[0] == one.cookie for cookie in cookies)


def _key(one: "Listener", sharer: int) -> bytes:
    return one.address + struct.pack("=HH", one.port, sharer)


def _below(folder: Path) -> Iterator[Path]:
    return (path.parent for path in folder.glob("*/**/cgroup.procs"))


def _held_in(folder: Path) -> Iterator[tuple[int, int, int]]:
    """(pid, fd, inode) of every socket of the folder's processes that we may look into."""
    for each in (folder, *_below(folder)):
        with suppress(OSError):
            for pid in map(int, (each / "cgroup.procs").read_text(encoding="ascii").split()):
                yield from ((pid, fd, inode) for fd, inode in sockets_of(pid))
