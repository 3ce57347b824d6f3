"""Accepting connections that look after the proxy, also when the proxied ones have used up all descriptors.

Start-up leaves the soft limit of descriptors below the hard one (proxy/start/descriptors.py). It is lifted for the one
call that accepts here, so what is above it stays out of the reach of the engine's threads.
"""

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import Callable

from proxy.start import descriptors

AT_ONCE = 16
"""Connections accepted in one turn of the loop."""
SHARE = 8
"""Connections of one listener that may live on reserved descriptors."""
PAUSE_S = 0.05
"""Before the next try, when there was no descriptor at all."""
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_log = logging.getLogger("tidegate.control")
Protocols = list[asyncio.BaseProtocol]


class Acceptor:
    """Owns a listening socket until `close`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        made: Callable[[socket.socket], asyncio.BaseProtocol],
        crowded: Callable[[Protocols], None],
    ) -> None:
        """made: gets an accepted socket and gives the protocol that serves it; `lost` is to be called when that one has
        ended. crowded: gets those that live on reserved descriptors, when these are used up; it is to end one."""
        self._loop = loop
        self._listener = listener
        self._made = made
        self._crowded = crowded
        self._soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._on_reserved: dict[asyncio.BaseProtocol, None] = {}
        self._starting: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        loop.add_reader(listener, self._accept_some)

    def step_back(self) -> None:
        """Accept nothing more: another process does. Undone by `take_back`."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._loop.remove_reader(self._listener)

    def take_back(self) -> None:
        self._loop.add_reader(self._listener, self._accept_some)

    def close(self) -> None:
        if self._listener.fileno() >= 0:
            self.step_back()
            self._listener.close()

    def lost(self, protocol: asyncio.BaseProtocol) -> None:
        self._on_reserved.pop(protocol, None)

    def _accept_some(self) -> None:
        for _ in range(AT_ONCE):
            try:
                sock = self._accept()
            except BlockingIOError:
                return
            except OSError as failed:
                if failed.errno in _SHORT:
                    self._rest()
                    return
                continue  # this connection has gone again; it says nothing about the next one
            sock.setblocking(False)
            serving = self._loop.create_task(self._serve(sock))
            self._starting.add(serving)  # the loop itself refers to its tasks weakly
            serving.add_done_callback(self._starting.discard)

    def _accept(self) -> socket.socket:
        try:
            return self._listener.accept()[0]
        except OSError as failed:
            if failed.errno != errno.EMFILE or len(self._on_reserved) + len(self._starting) >= SHARE:
                raise
        with descriptors.reserved():
            return self._listener.accept()[0]

    async def _serve(self, sock: socket.socket) -> None:
        reserved = sock.fileno() >= self._soft
        try:
            _, protocol = await self._loop.connect_accepted_socket(lambda: self._made(sock), sock)
        except OSError as failed:
            _log.debug("an accepted connection has gone: %s", failed)
            sock.close()
        else:
            if reserved:
                self._on_reserved[protocol] = None

    def _rest(self) -> None:
        """The listener stays readable: looking at it again at once would keep the loop busy for nothing."""
        if self._on_reserved:
            self._crowded(list(self._on_reserved))
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(PAUSE_S, self._loop.add_reader, self._listener, self._accept_some)
