"""One change of capture at a time in a network namespace.

The lock has to hold between mount, process and user namespaces (an init container and a command of the host's), on a
read-only root without /run, and must end with its holder. A workload must not be able to take it: whatever any process
may open (`flock` on the namespace's file) or bind first (an abstract name) stops `init` for as long as it likes.

So nobody takes a lock. A process that wants to change capture shows a ticket: a UDP socket on an address that nothing
else uses, with a mark that only CAP_NET_ADMIN (from Linux 5.17 on CAP_NET_RAW too) may set, and looks whether another
ticket is shown. Each shows its own before it looks, so at least one of two sees the other and takes its ticket back.
Sockets without the mark do not count, and there are too many addresses and ports to occupy them all.
"""

import errno
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from intercept.errors import CaptureError, Unsupported
from intercept.host.listeners import dump

_MARK = 0x74676C6B
_ADDRESSES = "127.84"
_FIRST_PORT, _PORTS = 49152, 16384
_IP_FREEBIND = 15
_TRIES = 16
_POLL_S = 0.01


@contextmanager
def changing_capture(wait_s: float) -> Iterator[None]:
    """Held while capture of the thread's network namespace is changed. Raises CaptureError after `wait_s` seconds.

    Without CAP_NET_ADMIN nothing is kept apart: such a process can't change capture.
    """
    deadline = time.monotonic() + wait_s
    while True:
        # Looked at first without a ticket, so that those who wait do not keep each other from going on.
        ticket = None
        try:
            ticket = None if _shown(None) else _show()
            if ticket is not None and not _shown(ticket):
                break
        except OSError as error:
            if ticket is not None:
                ticket.close()
            raise CaptureError(f"cannot see whether another command is changing capture: {error.strerror}") from None
        if ticket is not None:
            ticket.close()
        if time.monotonic() >= deadline:
            raise CaptureError(
                f"another tidegate command has been changing capture in this network namespace for {wait_s:g} s; "
                "wait longer with --wait"
            )
        time.sleep(_POLL_S * (0.5 + os.urandom(1)[0] / 170))
    with ticket:
        yield


def _show() -> socket.socket:
    ticket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        try:
            ticket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, _MARK)
        except PermissionError:
            return ticket
        ticket.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)  # the loopback interface may be down
        for _ in range(_TRIES):
            third, fourth, number = struct.unpack("=BBH", os.urandom(4))
            try:
                ticket.bind((f"{_ADDRESSES}.{third}.{fourth}", _FIRST_PORT + number % _PORTS))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return ticket
        raise CaptureError(f"no free port on {_ADDRESSES}.0.0 to change capture with: too many UDP sockets stand there")
    except BaseException:
        ticket.close()
        raise


def _shown(mine: socket.socket | None) -> bool:
    """Whether a ticket other than mine is shown."""
    own = mine.getsockname() if mine is not None else None
    try:
        return any(at != own for at in _tickets())
    except Unsupported:
        return any(at != own for at in _tickets_of_root())


def _tickets() -> Iterator[tuple[str, int]]:
    for one in dump(socket.IPPROTO_UDP, socket.AF_INET):
        if one.mark == _MARK and str(one.address).startswith(f"{_ADDRESSES}."):
            yield str(one.address), one.port


def _tickets_of_root() -> Iterator[tuple[str, int]]:
    """Where the kernel can't be asked for marks (no udp_diag): sockets on our addresses that are root's or ours."""
    from intercept.host.socket_table import rows

    for row in rows("udp"):
        if row.version == 4 and row.uid in (0, os.geteuid()) and str(row.local[0]).startswith(f"{_ADDRESSES}."):
            yield str(row.local[0]), row.local[1]
