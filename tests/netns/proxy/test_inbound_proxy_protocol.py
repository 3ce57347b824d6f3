"""`--inbound-proxy-protocol`: the workload is told its client by a header, at the ports that it is expected at."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from proxy.core.addresses import Address
from proxy.core.proxy_protocol import header
from tests.lab import Lab
from tests.netns.ebpf.ebpf_support import APP, listening, made_in
from tests.netns.proxy.config_rig import file, proxy_with, web
from tests.netns.proxy.proxy_rig import ProxyProcess
from tests.unit.mesh.support import traffic_policy

__all__ = ["file"]
pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
V2, V1, PLAIN = 7501, 7502, 7503
FLAGS = ("--inbound-proxy-protocol", f"{V2},{V1}/v1")


def received(lab: Lab, family: int, port: int, word: bytes = b"hello") -> tuple[bytes, bytes, dict[int, bytes]]:
    """What the workload got from a client that said `word`, what the client got, and both headers."""
    with listening(lab.app, family, port) as server, made_in(lab.peer, family) as client:
        client.connect((APP[family], port))
        client.sendall(word)
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(5)
            got = b""
            while not got.endswith(word):
                got += accepted.recv(4096)
            accepted.sendall(b"answer")
            mine = Address(*client.getsockname()[:2])
            headers = {version: header(version, mine, Address(APP[family], port)) for version in (1, 2)}
            return got, client.recv(4096), headers


@FAMILIES
@pytest.mark.parametrize("mode", ["nftables", "ebpf"])
def test_versions(lab: Lab, mode: str, family: int) -> None:
    lab.tidegate("init", "--mode", mode).ok()
    try:
        with ProxyProcess(lab, *FLAGS, "--log-format", "json") as proxy:
            for port, version in ((V2, 2), (V1, 1)):
                got, answer, headers = received(lab, family, port)
                assert (got, answer) == (headers[version] + b"hello", b"answer")
            assert received(lab, family, PLAIN)[0] == b"hello"
            moved = {(line["bytes_received"], line["bytes_sent"]) for line in proxy.wait_logged(3)}
            assert moved == {(5, 6)}, "a header is none of the client's bytes"
    finally:
        lab.tidegate("cleanup").ok()


def test_of_http(lab: Lab) -> None:
    request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
    lab.tidegate("init", "--mode", "nftables").ok()
    try:
        with ProxyProcess(lab, *FLAGS):
            for _ in range(3):
                got, _, headers = received(lab, socket.AF_INET, V2, request)
                assert got == headers[2] + request
    finally:
        lab.tidegate("cleanup").ok()


def test_of_a_declared_http_port(lab: Lab, file: Path) -> None:
    own = web(V2, host=APP[socket.AF_INET]).replace("tcp-main", "http-main").replace("name: tcp", "name: http")
    request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
    lab.tidegate("init", "--mode", "nftables").ok()
    try:
        with proxy_with(lab, file, own, *FLAGS):
            for _ in range(3):
                got, _, headers = received(lab, socket.AF_INET, V2, request)
                assert got == headers[2] + request
    finally:
        lab.tidegate("cleanup").ok()


def test_where_python_connects(lab: Lab, file: Path) -> None:
    """A rate limit is decided on each connection by itself."""
    own = web(
        V2,
        host=APP[socket.AF_INET],
        extra=traffic_policy("web", "connectionRateLimit: {connections: 50, interval: 1s, burst: 50}"),
    )
    lab.tidegate("init", "--mode", "nftables").ok()
    try:
        with proxy_with(lab, file, own, *FLAGS):
            got, answer, headers = received(lab, socket.AF_INET, V2)
        assert (got, answer) == (headers[2] + b"hello", b"answer")
    finally:
        lab.tidegate("cleanup").ok()


@pytest.mark.parametrize("text", ["0", "70000", "80/v3", "80/", "80,80/v1", "http"])
def test_bad_flag(lab: Lab, text: str) -> None:
    done = lab.tidegate("proxy", "--inbound-proxy-protocol", text)
    assert done.code == 2
    assert "--inbound-proxy-protocol" in done.err
