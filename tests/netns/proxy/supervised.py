"""A proxy under a supervisor that is ours, as `tidegate run` is, and a client that talks through it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, dial, read_all, rules

PORT = 12346


class Supervisor:
    """Our end of the control socket of a proxy that was started with --supervisor-fd."""

    def __init__(self, lab: Lab, *flags: str) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(10)
        self._lines = self.sock.makefile("r")
        with theirs:
            number = str(theirs.fileno())
            self.proxy = ProxyProcess(lab, "--supervisor-fd", number, *flags, pass_fds=(theirs.fileno(),))

    def __enter__(self) -> Supervisor:
        self.proxy.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self.sock.close()
        self.proxy.__exit__()

    def read(self) -> dict[str, Any]:
        line = self._lines.readline()
        assert line, "the proxy has closed the control socket"
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, **request: Any) -> dict[str, Any]:
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        return self.read()


@pytest.fixture(scope="module")
def captured(lab: Lab) -> Iterator[None]:
    with rules(lab.app):
        yield


def talk(lab: Lab, port: int = PORT) -> bytes:
    with dial(lab.app, PEER_V4, port) as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        return read_all(client)
