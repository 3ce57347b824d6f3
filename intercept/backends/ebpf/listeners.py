"""Inbound listeners into the map that sk_lookup gives connections to.

A proxy that begins to listen after `init` is registered by the sockops program itself (Linux 5.15). Here is the rest:
those that listened before, found through /proc, and those that somebody names (`adopt`).
"""

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bpf.layout import SLOTS
from cext.libbpf import libbpf
from intercept.backends.ebpf.sockets import holders, is_mptcp, listening_inodes, sockets_of, taken
from intercept.errors import PrivilegeMissing, Unsupported
from intercept.host import privilege

if TYPE_CHECKING:
    import socket

_SOL_SOCKET, _SO_COOKIE = 1, 57


def register_existing(maps: Mapping[str, int], port: int) -> None:
    """All listeners of this network namespace on the inbound port.

    Raises Unsupported, PrivilegeMissing where one can't be steered to: all that is captured inbound would be refused.
    """
    inodes = set(listening_inodes(port))
    for pid, fd, inode in holders(inodes):
        try:
            with taken(pid, fd) as listener:
                register(maps, listener, port, f"process {pid}")
        except libbpf.BpfError:
            raise
        except PermissionError:
            continue
        except OSError:
            pass  # it has ended
        inodes.discard(inode)
    if inodes and unregistered(maps, port):
        privilege.require(privilege.SYS_PTRACE, f"take the listener that is on the inbound port {port} already")
        raise Unsupported(
            f"ebpf mode: a process that can't be seen from here listens on the inbound port {port}, and the kernel "
            "has to be shown its socket; run init before it starts, or where its process can be seen"
        )


def unregistered(maps: Mapping[str, int], port: int) -> tuple[int, ...]:
    """IP versions of this network namespace's listeners on that port that get no connection of those steered."""
    from intercept.backends.ebpf.diag import listeners

    places = (libbpf.map_lookup(maps["tg_inbound"], struct.pack("=I", slot), 8) for slot in range(2 * SLOTS))
    registered = {struct.unpack("=Q", cookie)[0] for cookie in places if cookie is not None}
    return tuple(sorted({one.version for one in listeners() if one.port == port and one.cookie not in registered}))


def register_of(maps: Mapping[str, int], pid: int, port: int) -> list[str]:
    """The listeners of one process on the inbound port. Raises PrivilegeMissing, Unsupported, ProcessLookupError."""
    inodes = set(listening_inodes(port))
    found = []
    for fd, inode in sockets_of(pid):
        if inode not in inodes:
            continue
        try:
            with taken(pid, fd) as listener:
                register(maps, listener, port, f"process {pid}")
                found.append(f"{listener.getsockname()[0]} port {port}")
        except PermissionError as error:
            raise PrivilegeMissing("CAP_SYS_PTRACE", f"take a socket from process {pid}") from error
    return found


def register(maps: Mapping[str, int], listener: "socket.socket", port: int, whose: str = "this process") -> bool:
    """False: it isn't a TCP listener on that port. Registering one twice changes nothing.

    The caller keeps its socket. Raises Unsupported where all places are taken, and for an MPTCP socket.
    """
    import socket

    if listener.family not in (socket.AF_INET, socket.AF_INET6) or listener.type != socket.SOCK_STREAM:
        return False
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) or listener.getsockname()[1] != port:
        return False
    if is_mptcp(listener):
        raise Unsupported(
            f"ebpf mode: {whose} listens on the inbound port {port} with an MPTCP socket, which the kernel lets no "
            "program steer to; start that proxy without MPTCP (Go: GODEBUG=multipathtcp=0), or use --mode nftables"
        )
    fd = struct.pack("=i", listener.fileno())
    libbpf.map_update(maps["tg_inbound_of"], fd, struct.pack("=I", port))
    first = 0 if listener.family == socket.AF_INET else SLOTS
    place(maps["tg_inbound"], listener, [struct.pack("=I", first + slot) for slot in range(SLOTS)])
    return True


def place(target: int, listener: "socket.socket", keys: list[bytes]) -> None:
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
