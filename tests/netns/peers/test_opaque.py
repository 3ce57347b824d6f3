"""Real servers and clients of other protocols, at ports of which nobody said what they speak: what the client prints
is what it prints without a proxy, and the connection is told of as what it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.namespaces import Namespace
from tests.netns.peers import opaque_servers as servers
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, rules, until
from tests.netns.shared_folder import shared_folder

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180), pytest.mark.takes(5)]
MEMCACHED_TALK = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
said = sock.makefile("rwb")
for command in (b"set key 0 0 300000\\r\\n" + b"v" * 300000 + b"\\r\\n", b"set GET 0 0 2\\r\\nhi\\r\\n"):
    said.write(command)
    said.flush()
    print(said.readline())
said.write(b"get key\\r\\nget GET\\r\\nget absent\\r\\n")
said.flush()
for line in (said.readline() for _ in range(7)):
    print(len(line), line[:40])
"""


def psql(_: Path) -> list[str]:
    query = "create table t as select n, repeat('x', 1000) as text from generate_series(1, 2000) n;"
    query += (
        " select count(*), sum(length(text)) from t; select n, left(text, 3) from t order by n limit 3; drop table t"
    )
    return ["psql", "-h", PEER_V4, "-p", str(servers.POSTGRES), "-U", "postgres", "-At", "-c", query]


def memcached(port: int) -> Callable[[Path], list[str]]:
    return lambda _: [sys.executable, "-c", MEMCACHED_TALK, PEER_V4, str(port)]


def ftp(_: Path) -> list[str]:
    base = f"ftp://{PEER_V4}:{servers.FTP}"
    return ["curl", "-sS", f"{base}/", f"{base}/small", f"{base}/large", "-o", "-", "-o", "-", "-o", "/dev/null",
            "-w", "%{size_download} %{response_code}\\n"]  # fmt: skip


def ssh(folder: Path) -> list[str]:
    options = [f"UserKnownHostsFile={folder}/known", "StrictHostKeyChecking=no", "BatchMode=yes", "LogLevel=ERROR"]
    flags = [flag for option in options for flag in ("-o", option)]
    asked = "echo hello; head -c 3000000 /dev/zero | sha256sum"
    return ["ssh", "-F", "/dev/null", "-i", str(folder / "client"), *flags, "-p", str(servers.SSH),
            f"root@{PEER_V4}", asked]  # fmt: skip


Served = Callable[[Namespace, Path], AbstractContextManager[None]]
PEERS: dict[str, tuple[Served, Callable[[Path], list[str]], int]] = {
    "postgresql": (servers.postgres, psql, servers.POSTGRES),
    "memcached": (servers.memcached, memcached(servers.MEMCACHED), servers.MEMCACHED),
    "memcached at a port of HTTP": (servers.memcached, memcached(servers.ODD_HTTP), servers.ODD_HTTP),
    "ftp": (servers.ftp, ftp, servers.FTP),
    "ssh": (servers.ssh, ssh, servers.SSH),
}


@pytest.fixture
def home() -> Iterator[Path]:
    with shared_folder("opaque") as made:
        yield made


@pytest.mark.parametrize("name", PEERS)
def test_a_client_is_told_what_it_is_told_without_a_proxy(lab: Lab, home: Path, name: str) -> None:
    serve, command, port = PEERS[name]
    with serve(lab.peer, home):
        plain = lab.app.run(command(home), timeout=60).stdout
        assert plain
        with rules(lab.app), ProxyProcess(lab, "--log-format", "json") as proxy:
            for _ in range(2):  # the second time what it speaks is known
                assert lab.app.run(command(home), timeout=60).stdout == plain

            def lines() -> list[dict[str, object]]:
                return [line for line in proxy.access_log() if line.get("original_destination") == f"{PEER_V4}:{port}"]

            told = until(lambda: len(lines()) >= 2 and lines(), "the connections to be told of")
    assert {line["lane"] for line in told} == {"splice"}
    assert "http/1.1" not in {line["protocol"] for line in told}
