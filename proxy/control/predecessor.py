"""The proxy that runs before us, over the connection by which it showed us its sockets (proxy/start/take_over.py)."""

import asyncio
import json
import logging
import socket
from contextlib import suppress

from proxy.errors import ProxyError
from proxy.start.take_over import LONGEST_ANSWER, RELEASE, TAKEN, message

ANSWER_S = 5.0

_log = logging.getLogger("tidegate.proxy")


class Predecessor:
    """Belongs to the event loop. Owns the connection; None: we do not take over."""

    def __init__(self, sock: socket.socket | None) -> None:
        self._socket = sock
        self._watch: asyncio.Task[None] | None = None
        self.waits = sock is not None
        """It still accepts in our place."""

    async def step_back(self, loop: asyncio.AbstractEventLoop) -> None:
        """Returns when we may accept: it has stepped back, or is not able to say so. Raises ProxyError when it can't
        hand over any more."""
        self.waits = False
        if self._socket is None:
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await loop.sock_sendall(self._socket, message(TAKEN))
                answer = await loop.sock_recv(self._socket, LONGEST_ANSWER)
        except TimeoutError:
            # Its sockets are ours as well: it finds the message when it goes on.
            _log.warning("the proxy before has not answered for %g s; serving beside it", ANSWER_S)
        except OSError as failed:
            _log.warning("the proxy before has died while handing over: %s", failed.strerror)
        else:
            if not answer:
                _log.warning("the proxy before has died while handing over")
            else:
                self._hear(answer)
        self._watch = loop.create_task(self._until_it_ends(loop, self._socket))

    def release(self) -> None:
        """We end in order, or hand over ourselves: it must not serve again in our place."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.send(message(RELEASE))

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self.release()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _hear(self, answer: bytes) -> None:
        said = json.loads(answer)
        if said.get("ok") is not True:
            raise ProxyError(f"--take-over: the proxy that runs could not hand over: {said.get('error')}")
        _log.info("took over; the proxy before holds %s connections until they end", said.get("held"))

    async def _until_it_ends(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        with suppress(OSError):
            while await loop.sock_recv(sock, LONGEST_ANSWER):
                pass
        _log.info("the proxy before has ended")
