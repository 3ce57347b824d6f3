"""A proxy with documents: servers that say which of them answers, and documents that lead to them."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.netns.proxy.proxy_rig import PEER_V4, PEER_V6, ProxyProcess, Server, dial, echo, read_all, rules, until
from tests.unit.mesh.support import endpoints, service, tcp_route

VIP, VIP6 = "10.0.0.80", "fd00::80"
"""Addresses that no interface has: a client that gets an answer there was sent elsewhere."""
ONE, TWO, DEAD = 8001, 8002, 8003
TCP = "port: 80, name: tcp-main"


def says(word: bytes) -> Any:
    def handle(sock: socket.socket) -> None:
        sock.sendall(word)
        echo(sock)

    return handle


@pytest.fixture(scope="module")
def backends(lab: Lab) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for host in (PEER_V4, PEER_V6):
            stack.enter_context(Server(lab.peer, host, ONE, says(b"1")))
            stack.enter_context(Server(lab.peer, host, TWO, says(b"2")))
        stack.enter_context(rules(lab.app))
        yield


def web(*ports: int, extra: str = "", ip: str = VIP, host: str = PEER_V4, spec: str = "") -> str:
    """A Service whose endpoints are PEER's servers at these ports, a slice for each."""
    text = service("web", ip, port=TCP, spec=spec)
    for port in ports:
        one = endpoints("web", host, port=port, port_name="tcp-main")
        text += one.replace("{name: web-", f"{{name: web-{port}-")
    return text + extra


def split(one: int, two: int) -> str:
    text = service("web", VIP, port=TCP) + service("one", port=TCP) + service("two", port=TCP)
    text += endpoints("web", PEER_V4, port=DEAD, port_name="tcp-main")
    text += endpoints("one", PEER_V4, port=ONE, port_name="tcp-main")
    text += endpoints("two", PEER_V4, port=TWO, port_name="tcp-main")
    return text + tcp_route("web", ("one", one), ("two", two))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/") and folder != Path("/tmp"):
            folder.chmod(0o755)  # the proxy, which is not root, has to come by
    return tmp_path / "config.yaml"


def write(file: Path, text: str) -> None:
    """As tools do it: complete, then renamed."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


@contextlib.contextmanager
def proxy_with(lab: Lab, file: Path, text: str, *flags: str) -> Iterator[ProxyProcess]:
    write(file, text)
    with ProxyProcess(lab, "--log-format", "json", "--config", str(file), *flags) as proxy:
        yield proxy


def ask(lab: Lab, ip: str = VIP, port: int = 80) -> bytes:
    """The word of the server that answers; empty when the connection is reset."""
    try:
        with dial(lab.app, ip, port) as client:
            word = client.recv(1)
            client.shutdown(socket.SHUT_WR)
            read_all(client)
            return word
    except ConnectionResetError:
        return b""


def dump(proxy: ProxyProcess) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(proxy.request("/config_dump")[1])["configuration"]
    return found


def in_force(proxy: ProxyProcess, digest: str) -> str:
    """Waits until the policy is another one."""
    return str(until(lambda: (now := dump(proxy)["digest"]) != digest and now, "another policy in force"))
