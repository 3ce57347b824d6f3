"""Which TCP ports processes listen on."""

import contextlib
import os
import re
import socket
from collections.abc import Iterable

from intercept.host import listeners

_SOCKET = re.compile(r"socket:\[(\d+)\]\Z")


def listening_ports(pids: Iterable[int]) -> list[int]:
    """In this network namespace, sorted. Descriptors of processes that end meanwhile are passed over."""
    inodes: set[int] = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if found := _SOCKET.match(os.readlink(f"/proc/{pid}/fd/{name}")):
                        inodes.add(int(found[1]))
    return sorted({one.port for one in listeners.listening(socket.IPPROTO_TCP) if one.inode in inodes})
