"""The endpoints of a drill, one process: `python -m bench.drills.endpoints FILE ADDRESS=KIND…`.

Each answers a GET after two milliseconds, or is unwell in its way. FILE has the requests that each got, second by
second, once the process has been asked to end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

PORT = 80
SERVICE_S = 0.002
SLOW_S = 0.5
FLAP_S = 1.0
UNWELL_S = 10.0
"""For how long one that recovers has been unwell."""
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfine\n"
_UNWELL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 7\r\n\r\nunwell\n"
_HANGING = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
HEALTHY, SLOW, REFUSING, BLACK_HOLED = "healthy", "slow", "refusing", "black-holed"
FLAPPING, UNWELL, HANGING, RECOVERING = "flapping", "unwell", "hanging", "recovering"
KINDS = (HEALTHY, SLOW, REFUSING, BLACK_HOLED, FLAPPING, UNWELL, HANGING, RECOVERING)


class Endpoint:
    def __init__(self, address: str, kind: str, began: float) -> None:
        self.address, self.kind, self.began = address, kind, began
        self.seconds: Counter[int] = Counter()
        self.turn = 0
        self.server: asyncio.Server | None = None
        self.open: set[asyncio.Transport] = set()

    async def run(self) -> None:
        if self.kind == REFUSING:
            return
        while True:
            self.server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self), self.address, PORT, backlog=1024
            )
            if self.kind != FLAPPING:
                return
            await asyncio.sleep(FLAP_S)
            self.server.close()
            for transport in list(self.open):
                transport.abort()
            await asyncio.sleep(FLAP_S)

    def answer(self) -> tuple[float, bytes]:
        """After how long, and what."""
        now = time.monotonic() - self.began
        self.seconds[int(now)] += 1
        self.turn += 1
        if self.kind == SLOW:
            return SLOW_S, _OK
        if self.kind == HANGING:
            return SERVICE_S, _HANGING
        if (self.kind == UNWELL and self.turn % 2) or (self.kind == RECOVERING and now < UNWELL_S):
            return SERVICE_S, _UNWELL
        return SERVICE_S, _OK


class Connection(asyncio.Protocol):
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._endpoint.open.add(self._transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while b"\r\n\r\n" in self._read:
            self._read = self._read.partition(b"\r\n\r\n")[2]
            after, what = self._endpoint.answer()
            asyncio.get_running_loop().call_later(after, self._transport.write, what)

    def connection_lost(self, _: Exception | None) -> None:
        self._endpoint.open.discard(self._transport)


async def serve(kinds: dict[str, str]) -> dict[str, Counter[int]]:
    """What each endpoint got, when the process is asked to end."""
    began = time.monotonic()
    endpoints = [Endpoint(address, kind, began) for address, kind in kinds.items()]
    running = [asyncio.create_task(one.run()) for one in endpoints]
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    await asked.wait()
    for task in running:
        task.cancel()
    return {one.address: one.seconds for one in endpoints}


if __name__ == "__main__":
    got = asyncio.run(serve(dict(one.split("=") for one in sys.argv[2:])))
    Path(sys.argv[1]).write_text(json.dumps(got))
