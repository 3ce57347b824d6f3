"""A proxy that is replaced while it carries traffic in both directions, in a capture that `init` has put in force."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.lab import Lab
from tests.lab.namespaces import Namespace
from tests.lab.patience import patient
from tests.netns.proxy.proxy_rig import APP_V4, PEER_V4, ProxyProcess, Server, echo, until

WEB, STREAMS = 18080, 17001
TIDEGATE = [sys.executable, "-P", "-m", "tidegate"]
SERVER = """
import asyncio, sys
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 512\\r\\n" + {extra!r} + b"\\r\\n" + b"x" * 512
class Web(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.got = transport, b""
    def data_received(self, data):
        self.got += data
        while b"\\r\\n\\r\\n" in self.got:
            self.got = self.got.partition(b"\\r\\n\\r\\n")[2]
            self.transport.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Web, "0.0.0.0", int(sys.argv[1]), backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
"""{extra} is a line more of each answer's head."""


class Calls:
    """calling.py in a namespace, as the workload's user."""

    def __init__(self, namespace: Namespace, host: str) -> None:
        who = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "/usr/bin/python3"]
        script = str(Path(__file__).with_name("calling.py"))
        self._process = namespace.popen(
            [*who, script, host, str(WEB), str(STREAMS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._line() == "ready"

    def so_far(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("count\n")
        self._process.stdin.flush()
        return self._told()

    def end(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.close()
        told = self._told()
        self._process.wait(patient(30))
        return told

    def kill(self) -> None:
        self._process.kill()
        with self._process:  # closes its pipes
            pass

    def wait_for(self, more: int, timeout: float = 60) -> None:
        """Until so many requests more have been answered."""
        wanted = self.so_far()["requests"] + more
        until(lambda: self.so_far()["requests"] >= wanted, f"{more} requests", timeout)

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._line())
        return told

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextlib.contextmanager
def web(namespace: Namespace, extra: bytes = b"") -> Iterator[None]:
    argv = [sys.executable, "-c", SERVER.format(extra=extra), str(WEB)]
    with namespace.popen(argv, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield
        finally:
            server.kill()


@contextlib.contextmanager
def world(lab: Lab, mode: str) -> Iterator[None]:
    """Capture in force, and servers at both ends."""
    lab.app.run([*TIDEGATE, "init", "--mode", mode])
    try:
        with contextlib.ExitStack() as stack:
            for namespace, host in ((lab.peer, PEER_V4), (lab.app, APP_V4)):
                stack.enter_context(Server(namespace, host, STREAMS, echo))
                stack.enter_context(web(namespace, b"Connection: keep-alive\r\n"))
            yield
    finally:
        lab.app.run([*TIDEGATE, "cleanup"])


@contextlib.contextmanager
def calls(lab: Lab) -> Iterator[dict[str, Calls]]:
    """From the workload to the peer, and back."""
    both = {"outbound": Calls(lab.app, PEER_V4), "inbound": Calls(lab.peer, APP_V4)}
    try:
        yield both
    finally:
        for one in both.values():
            one.kill()


def starting(lab: Lab, *flags: str, prefix: tuple[str, ...] = ()) -> ProxyProcess:
    """It stands by for as long as it drains, at most."""
    return ProxyProcess(lab, "--take-over", "--log-format", "json", "--drain-timeout", "4", *flags, prefix=prefix)
