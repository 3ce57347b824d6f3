"""Finding the helper that `tidegate init --helper` leaves for a proxy that was never root.

The helper listens at an abstract name of this network namespace. Any process may bind such a name, so the kernel is
asked who listens there: only root is believed. After the first word the connection is like the one to a warden: each
companion's channels arrive there.
"""

import os
import socket
import struct
import time
from collections.abc import Callable

NAME = "tidegate-helper/"
"""What the name begins with; the outbound listener's port follows, then a suffix that nothing tells before."""
SERVE = b"serve"
"""The first word: the helper is to start a companion for us."""
LOOK_S = 2.0

_LISTENS = "00010000"
_CREDENTIALS = struct.Struct("=iII")
_AT_ONCE_S = 0.02
"""The event loop waits meanwhile. Names that others have bound to keep us busy cost more looks, not longer ones."""


def find(port: int) -> socket.socket | None:
    """A connection to the helper of the capture whose outbound listener is at `port`, which the caller owns."""
    names = _names(port)
    names.sort(key=lambda _: os.urandom(8))  # `init` imports this module, and `random` takes longer than all of it
    until = time.monotonic() + _AT_ONCE_S
    for name in names:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect("\0" + name)
            if _listens_as(sock) == 0:
                sock.send(SERVE)
                return sock
        except OSError:
            pass  # it has gone, or its queue is full
        sock.close()
        if time.monotonic() >= until:
            break
    return None


def _names(port: int) -> list[str]:
    prefix = f"@{NAME}{port}/"
    try:
        with open("/proc/thread-self/net/unix", encoding="utf-8", errors="replace") as table:
            rows = [line.split(maxsplit=7) for line in table if prefix in line]
    except OSError:
        return []
    return [row[7].strip()[1:] for row in rows if len(row) == 8 and row[3] == _LISTENS and row[7].startswith(prefix)]


def _listens_as(sock: socket.socket) -> int:
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


class Search:
    """Looks for a helper until there is one. Belongs to the event loop. later: the loop's `call_later`. found: gets
    the connection, which it then owns."""

    def __init__(
        self, port: int, later: Callable[[float, Callable[[], None]], object], found: Callable[[socket.socket], None]
    ) -> None:
        self._port = port
        self._later = later
        self._found = found
        self._closed = False

    def begin(self) -> None:
        self._later(LOOK_S, self._look)

    def close(self) -> None:
        self._closed = True

    def _look(self) -> None:
        if self._closed:
            return
        sock = find(self._port)
        if sock is None:
            self.begin()
        else:
            self._found(sock)
