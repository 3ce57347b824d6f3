"""tproxy mode: the workload is called from its client's address, with another port, and its answers come back."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from proxy.start.privileges import AS_CLIENT
from tests.lab import Lab
from tests.lab.own_proxy import OwnProxy
from tests.netns.ebpf.ebpf_support import APP, PEER, listening, made_in
from tests.netns.proxy.proxy_rig import ProxyProcess, Server, echo, read_all
from tests.netns.tidegate.pod import UNPRIVILEGED
from tests.netns.tidegate.test_companion import eventually
from tests.netns.tidegate.test_rights import judge

pytestmark = pytest.mark.kernel
FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
PORT = 7500


@pytest.fixture
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "tproxy").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


def seen_by(lab: Lab, family: int, word: bytes = b"hello") -> tuple[tuple[str, int], tuple[str, int]]:
    """The client as the workload sees it, and as it sees itself."""
    with listening(lab.app, family, PORT) as server, made_in(lab.peer, family) as client:
        client.connect((APP[family], PORT))
        client.sendall(word)
        client.shutdown(socket.SHUT_WR)
        server.settimeout(5)
        accepted, told = server.accept()
        with accepted:
            accepted.settimeout(5)
            assert accepted.getpeername() == told
            got = b""
            while len(got) < len(word):  # of HTTP no end is seen before the answer
                got += accepted.recv(65536)
            assert got == word
            accepted.sendall(b"HTTP/1.0 200 OK\r\n\r\nanswer" if word.startswith(b"GET") else b"answer")
        assert read_all(client).endswith(b"answer")
        mine = client.getsockname()
    return (told[0], told[1]), (mine[0], mine[1])


@FAMILIES
@pytest.mark.usefixtures("captured")
def test_the_workload_sees_its_client(lab: Lab, family: int) -> None:
    with ProxyProcess(lab):
        for word in (b"hello", b"GET / HTTP/1.0\r\n\r\n", b"x" * 100_000):
            seen, mine = seen_by(lab, family, word)
            assert seen[0] == mine[0] == PEER[family]
            assert seen[1] != mine[1]
            assert 10_000 <= seen[1] < 32_768


@pytest.mark.usefixtures("captured")
def test_many_one_after_the_other_and_at_once(lab: Lab) -> None:
    family = socket.AF_INET
    with ProxyProcess(lab), Server(lab.app, APP[family], PORT, echo) as server:
        held = []
        for _ in range(200):
            client = made_in(lab.peer, family)
            client.settimeout(5)
            client.connect((APP[family], PORT))
            held.append(client)
        for number, client in enumerate(held):
            client.sendall(b"%d" % number)
            assert client.recv(100) == b"%d" % number
            client.close()
        for _ in range(300):
            with made_in(lab.peer, family) as client:
                client.settimeout(5)
                client.connect((APP[family], PORT))
                client.sendall(b"x")
                assert client.recv(1) == b"x"
        assert {ip for ip, _ in server.peers} == {PEER[family]}
        assert len(server.peers) == 500


@FAMILIES
def test_where_capture_changes_addresses_it_is_the_proxys_as_ever(lab: Lab, family: int) -> None:
    lab.tidegate("init", "--mode", "nftables").ok()
    try:
        with ProxyProcess(lab, "--inbound-client-address", "on"):
            seen, _ = seen_by(lab, family)
            assert seen[0] == APP[family]
    finally:
        lab.tidegate("cleanup").ok()


@pytest.mark.usefixtures("captured")
def test_off_is_off(lab: Lab) -> None:
    with ProxyProcess(lab, "--inbound-client-address", "off"):
        seen, _ = seen_by(lab, socket.AF_INET)
        assert seen[0] == APP[socket.AF_INET]


def test_before_capture_when_it_is_asked_for(lab: Lab) -> None:
    with ProxyProcess(lab, "--inbound-client-address", "on"):
        lab.tidegate("init", "--mode", "tproxy").ok()
        try:
            eventually(lambda: can_call(lab), "the listener to be made transparent")
            seen, mine = seen_by(lab, socket.AF_INET)
            assert seen[0] == mine[0]
        finally:
            lab.tidegate("cleanup").ok()


def can_call(lab: Lab) -> bool:
    with listening(lab.app, socket.AF_INET, PORT), made_in(lab.peer, socket.AF_INET) as client:
        try:
            client.connect((APP[socket.AF_INET], PORT))
            client.settimeout(0.2)
            client.recv(1)
        except TimeoutError:
            return True
        except OSError:
            return False
    return True


@pytest.mark.usefixtures("captured")
def test_what_it_takes(lab: Lab) -> None:
    with OwnProxy(lab.app) as proxy:
        proxy.wait_ready()
        judge(proxy.pid, frozenset({AS_CLIENT.name}), uid=1337)
    both = ("--inbound-client-address", "on", "--inbound-source", "127.0.0.6")
    assert lab.tidegate_binary("proxy", *both).code == 2
    with OwnProxy(lab.app, *both[2:]) as proxy:
        proxy.wait_ready()
        judge(proxy.pid, frozenset(), uid=1337)
    ran = lab.tidegate_binary("proxy", "--inbound-client-address", "on", prefix=UNPRIVILEGED)
    assert (ran.code, "CAP_NET_RAW" in ran.err) == (4, True)
    with OwnProxy(lab.app, prefix=UNPRIVILEGED) as proxy:
        proxy.wait_ready()
    assert "the workload sees the proxy's address as its client's" in proxy.last_words


TAKEN = """
import socket, sys
from cext.engine.acceptor import stand_in
from cext.engine.values import SocketAddress
family, here, there = (int(sys.argv[1]), *sys.argv[2:])
TRANSPARENT = ((socket.IPPROTO_IPV6, 75) if family == socket.AF_INET6 else (socket.IPPROTO_IP, 19))
listener = socket.socket(family)
listener.setsockopt(*TRANSPARENT, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((here, 7500))
listener.listen()
caller = socket.socket(family)
caller.setsockopt(*TRANSPARENT, 1)
caller.bind((here, 12345))
caller.connect((here, 7500))
accepted, _ = listener.accept()
plain = socket.socket(family)
own, client = SocketAddress(here, 7500), SocketAddress(here, 40_000)
assert stand_in(plain.fileno(), own, socket.socket(family).fileno(), client, own) is False
found = set()
for _ in range(23_000):
    upstream = socket.socket(family)
    assert stand_in(accepted.fileno(), own, upstream.fileno(), client, own)
    found.add(upstream.getsockname()[1])
    upstream.close()
print(len(found), min(found), max(found), 12345 in found)
"""


@FAMILIES
def test_it_never_takes_the_ends_of_a_connection_that_is_there(lab: Lab, family: int) -> None:
    argv = [sys.executable, "-P", "-c", TAKEN, str(int(family)), APP[family], PEER[family]]
    told = lab.app.run(argv, timeout=60).stdout
    assert told.split() == ["22767", "10000", "32767", "False"]
