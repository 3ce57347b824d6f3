"""An endpoint on a loop in a thread of its own, and a client that writes its requests by hand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvloop

from proxy.admin.messages import Answer
from proxy.admin.serve import HttpEndpoint


class Served:
    def __init__(self, answer: Answer) -> None:
        self.loop = uvloop.new_event_loop()
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        listener.setblocking(False)
        self.port: int = listener.getsockname()[1]
        self.endpoint = self.on_loop(lambda: HttpEndpoint(self.loop, listener, answer), running=False)
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def on_loop(self, what: Callable[[], Any], *, running: bool = True) -> Any:
        async def call() -> Any:  # only a coroutine can be waited for from another thread
            return what()

        if running:
            return asyncio.run_coroutine_threadsafe(call(), self.loop).result(5)
        return self.loop.run_until_complete(call())

    def close(self) -> None:
        self.on_loop(self.endpoint.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.run_until_complete(asyncio.sleep(0.01))
        self.loop.close()
        assert len(self.endpoint) == 0

    def connect(self, timeout: float = 5) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def raw(self, data: bytes, *, finish: bool = True) -> bytes:
        """What a client gets that sends this and then nothing more."""
        with self.connect() as sock:
            sock.sendall(data)
            if finish:
                sock.shutdown(socket.SHUT_WR)
            found = b""
            while part := sock.recv(65536):
                found += part
            return found

    def ask(self, target: str, method: str = "GET", host: str = "localhost", more: str = "") -> tuple[int, str, str]:
        """Status, head and body."""
        text = self.raw(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n".encode())
        head, _, body = text.decode().partition("\r\n\r\n")
        return int(head.split()[1]), head.lower(), body


@contextlib.contextmanager
def served(answer: Answer) -> Iterator[Served]:
    made = Served(answer)
    try:
        yield made
    finally:
        made.close()
