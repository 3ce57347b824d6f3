"""Accepting connections that look after the proxy, also when the proxied ones have used up all descriptors."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable

AT_ONCE = 16
"""Connections accepted in one turn of the loop."""
SPARES = 4
PAUSE_S = 0.05
"""Before the next try, when there was no descriptor although one was given back."""
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_log = logging.getLogger("tidegate.control")


class Spares:
    """Descriptors kept back: each is open for nothing but to be closed when one is needed. Owns them until `close`."""

    def __init__(self, count: int) -> None:
        self._wanted = count
        self._fds: list[int] = []
        self.refill()

    def give(self) -> bool:
        """Free one descriptor. False: all are given already."""
        if not self._fds:
            return False
        os.close(self._fds.pop())
        return True

    def refill(self) -> None:
        """Keep back again what has been given, as far as there are descriptors. Call it when one was closed."""
        with contextlib.suppress(OSError):
            while len(self._fds) < self._wanted:
                self._fds.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))

    def close(self) -> None:
        self._wanted = 0
        while self.give():
            pass


class Acceptor:
    """Owns a listening socket, and SPARES descriptors for those accepted there, until `close`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        made: Callable[[socket.socket], asyncio.BaseProtocol],
        crowded: Callable[[], None] = lambda: None,
    ) -> None:
        """made: gets an accepted socket and gives the protocol that serves it; `lost` is to be called when that one has
        ended. crowded: called when the spares do not suffice; it may end one that was accepted earlier."""
        self._loop = loop
        self._listener = listener
        self._spares = Spares(SPARES)
        self._made = made
        self._crowded = crowded
        self._starting: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        loop.add_reader(listener, self._accept)

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        self._spares.close()

    def lost(self) -> None:
        """A connection has ended: its descriptor is kept back, if one was missing."""
        self._loop.call_soon(self._spares.refill)  # the loop closes it after it has told of the end

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as failed:
                if failed.errno not in _SHORT:
                    continue  # this connection has gone again; it says nothing about the next one
                if not self._spares.give():
                    self._crowded()
                    self._rest()
                    return
                continue
            sock.setblocking(False)
            serving = self._loop.create_task(self._serve(sock))
            self._starting.add(serving)  # the loop itself refers to its tasks weakly
            serving.add_done_callback(self._starting.discard)

    async def _serve(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._made(sock), sock)
        except OSError as failed:
            _log.debug("an accepted connection has gone: %s", failed)
            sock.close()
            self._spares.refill()

    def _rest(self) -> None:
        """The listener stays readable: looking at it again at once would keep the loop busy for nothing."""
        self._loop.remove_reader(self._listener)

        def again() -> None:
            self._spares.refill()
            self._loop.add_reader(self._listener, self._accept)

        self._pause = self._loop.call_later(PAUSE_S, again)
