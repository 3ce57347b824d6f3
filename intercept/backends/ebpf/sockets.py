"""Other processes' listening sockets: found through /proc, taken by a duplicate of the descriptor."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_PIDFD_GETFD = 438  # the same on every architecture
_LISTEN = "0A"
_SO_PROTOCOL, _MPTCP = 38, 262


def is_mptcp(one: "socket.socket") -> bool:
    """Maps of sockets refuse those."""
    import socket

    return one.getsockopt(socket.SOL_SOCKET, _SO_PROTOCOL) == _MPTCP


def listening_inodes(port: int | None) -> Iterator[int]:
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


def holders(inodes: set[int]) -> Iterator[tuple[int, int, int]]:
    """(pid, fd, inode) once for each of these sockets that some process has open."""
    wanted = set(inodes)
    for entry in os.listdir("/proc"):
        if not wanted:
            return
        if entry.isdigit():
            for fd, inode in sockets_of(int(entry)):
                if inode in wanted:
                    wanted.discard(inode)
                    yield int(entry), fd, inode


def sockets_of(pid: int) -> Iterator[tuple[int, int]]:
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


def taken(pid: int, fd: int) -> "socket.socket":
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
