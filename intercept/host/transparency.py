"""IP_TRANSPARENT on a proxy's inbound listener: needed where TPROXY delivers to it, harmful where REDIRECT does.

Needed: TPROXY hands packets to transparent sockets only. Harmful: when one client uses one source port for two ports of
the workload, REDIRECT gives the second connection another source port on its way in, but only after the kernel's early
look-up has found the first connection's socket; netfilter then sends the packet on a fresh look-up, unless the socket
found is transparent. The second connection stalls (seen on 6.18; istio#38982 reports it).
"""

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator

IP_TRANSPARENT = 19
IPV6_TRANSPARENT = 75
PIDFD_GETFD = 438


def set_transparent(pid: int, port: int, wanted: bool) -> None:
    """Set the option on each listening TCP socket of process `pid` at `port`. Only what differs is changed.

    Needs CAP_NET_ADMIN, and CAP_SYS_PTRACE for a process of another user; Linux 5.6. Raises OSError.
    """
    for listener in _listeners(pid, port):
        with listener:
            level, name = (
                (socket.IPPROTO_IPV6, IPV6_TRANSPARENT)
                if listener.family == socket.AF_INET6
                else (socket.IPPROTO_IP, IP_TRANSPARENT)
            )
            if bool(listener.getsockopt(level, name)) != wanted:
                listener.setsockopt(level, name, int(wanted))


def _listeners(pid: int, port: int) -> Iterator[socket.socket]:
    """Duplicates, the caller's to close."""
    process = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    continue
                copy = _duplicate(process, int(name))
                if _listens_at(copy, port):
                    yield copy
                else:
                    copy.close()
    finally:
        os.close(process)


def _duplicate(process: int, number: int) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    copy = libc.syscall(ctypes.c_long(PIDFD_GETFD), process, number, 0)
    if copy < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return socket.socket(fileno=copy)


def _listens_at(one: socket.socket, port: int) -> bool:
    return (
        one.family in (socket.AF_INET, socket.AF_INET6)
        and one.type == socket.SOCK_STREAM
        and bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        and one.getsockname()[1] == port
    )
