"""A running webhook server with a certificate of its own, and a client that trusts it."""

import asyncio
import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from onboard.kubernetes.containers import Options
from onboard.webhook.certificate import Kept, renewed
from onboard.webhook.review import Settings
from onboard.webhook.serve import serve

HOST = "localhost"


@dataclass(frozen=True)
class Running:
    port: int
    files: tuple[Path, Path]

    def connect(self, authority: bytes, timeout: float = 10) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cadata=authority.decode("ascii"))
        return http.client.HTTPSConnection(HOST, self.port, context=context, timeout=timeout)

    def post(self, authority: bytes, body: bytes, path: str = "/inject") -> tuple[int, bytes]:
        connection = self.connect(authority)
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found


def kept(names: tuple[str, ...] = (HOST,)) -> Kept:
    return renewed(None, names, datetime.now(UTC))


def write(files: tuple[Path, Path], one: Kept) -> None:
    files[1].write_bytes(one.serving_key)
    files[0].write_bytes(one.serving)


@contextmanager
def running(folder: Path, one: Kept) -> Iterator[Running]:
    files = (folder / "tls.crt", folder / "tls.key")
    write(files, one)
    ports: list[int] = []
    began, stopping = threading.Event(), []

    async def main() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stopping.append(lambda: loop.call_soon_threadsafe(stopped.set))
        await serve(
            ("127.0.0.1", 0),
            files,
            Settings(Options("tidegate:1")),
            stopped,
            lambda port: (ports.append(port), began.set())[1],
        )

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert began.wait(10)
        yield Running(ports[0], files)
    finally:
        stopping[0]()
        thread.join(10)
        assert not thread.is_alive()
