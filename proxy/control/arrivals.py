"""Channels that arrive while the proxy runs: each companion that its warden starts brings its own."""

import asyncio
import logging
import socket
from array import array
from collections.abc import Callable, Iterable

from proxy.start import descriptors

CHANNELS = 3
"""As many as a companion has (tidegate/beside/warden.py)."""

_ROOM = socket.CMSG_LEN(CHANNELS * array("i").itemsize)
_log = logging.getLogger("tidegate.control")


class Arrivals:
    """Owns the socket until `close`. arrived: gets the sockets of one companion, which it then owns. ended: called when
    no more will come."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        arrived: Callable[[list[socket.socket]], None],
        ended: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._arrived = arrived
        self._ended = ended
        loop.add_reader(sock, self._receive)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _receive(self) -> None:
        try:
            # They come seldom and must not be lost: those of connections may be used up.
            with descriptors.reserved():
                # Not recv_fds: Python 3.11's does not pass on flags.
                data, ancillary, _, _ = self._socket.recvmsg(1, _ROOM, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError as failed:
            _log.error("the channels of a companion did not arrive: %s", failed.strerror)
            return
        if not data:
            self.close()
            self._ended()
            return
        sockets = [socket.socket(fileno=fd) for fd in _descriptors(ancillary)]
        if len(sockets) != CHANNELS:
            # Closing them ends the companion, and another one is started.
            _log.error("of a companion's %d channels %d arrived: no descriptor was free", CHANNELS, len(sockets))
            for one in sockets:
                one.close()
            return
        for one in sockets:
            one.setblocking(False)
        self._arrived(sockets)


def _descriptors(ancillary: Iterable[tuple[int, int, bytes]]) -> Iterable[int]:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = len(data) - len(data) % array("i").itemsize
            yield from array("i", data[:whole])
