"""Inbound, the workload sees its client's address and port, from accept() and from getpeername()."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.cgroup_folder import CgroupFolder
from tests.netns.ebpf.ebpf_support import APP, entries, in_folder, listening, made_in
from tests.netns.proxy.proxy_rig import ProxyProcess

pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
PORT = 7500
FOREIGN = {socket.AF_INET: "192.0.2.9", socket.AF_INET6: "2001:db8::9"}
CALL = """
import socket, sys
from proxy.core.addresses import Address
from proxy.start.sockets import name_client
ip, port, client = sys.argv[1:]
sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
name_client(sock, Address(client, 4242))
sock.connect((ip, int(port)))
sock.recv(1)
"""


@pytest.fixture
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "ebpf").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


def shows_client(lab: Lab, server: socket.socket, family: int) -> None:
    with made_in(lab.peer, family) as client:
        client.connect((APP[family], server.getsockname()[1]))
        accepted, told = server.accept()
        with accepted:
            mine = client.getsockname()[:2]
            prefix = "::ffff:" if family == socket.AF_INET and server.family == socket.AF_INET6 else ""
            assert told[:2] == accepted.getpeername()[:2] == (prefix + mine[0], mine[1])
            accepted.sendall(b"answer")
            assert client.recv(10) == b"answer"


@FAMILIES
@pytest.mark.usefixtures("captured")
def test_through_the_proxy(lab: Lab, family: int) -> None:
    with ProxyProcess(lab), listening(lab.app, family, PORT) as server:
        for _ in range(3):
            shows_client(lab, server, family)
    assert entries(lab.app, "tg_calling") == 0


@pytest.mark.usefixtures("captured")
def test_of_a_listener_of_both_families(lab: Lab) -> None:
    with ProxyProcess(lab), listening(lab.app, socket.AF_INET6, PORT, "dual") as server:
        shows_client(lab, server, socket.AF_INET)
        shows_client(lab, server, socket.AF_INET6)


@FAMILIES
def test_where_only_a_cgroup_is_captured(lab: Lab, family: int) -> None:
    folder: CgroupFolder = lab.cgroup.child("called")
    try:
        lab.tidegate("init", "--mode", "ebpf", "--cgroup", folder.path).ok()
        with ProxyProcess(lab), in_folder(folder.folder), listening(lab.app, family, PORT) as server:
            shows_client(lab, server, family)
    finally:
        lab.tidegate("cleanup").ok()
        folder.delete()


@pytest.mark.usefixtures("captured")
def test_a_call_that_fails_leaves_nothing(lab: Lab) -> None:
    # The reset may come before connect() has returned.
    with ProxyProcess(lab), made_in(lab.peer, socket.AF_INET) as client, pytest.raises(ConnectionResetError):
        _call(client)
    assert entries(lab.app, "tg_calling") == 0


def _call(client: socket.socket) -> None:
    client.connect((APP[socket.AF_INET], PORT))
    client.recv(1)


def called_as(lab: Lab, family: int, uid: int) -> tuple[str, int]:
    """What the workload sees when a process of that user claims to call for a foreign client."""
    with listening(lab.app, family, PORT) as server:
        who = ("setpriv", f"--reuid={uid}", "--regid=7", "--clear-groups")
        argv = [*who, sys.executable, "-P", "-c", CALL, APP[family], str(PORT), FOREIGN[family]]
        caller = lab.app.popen(argv)
        try:
            accepted, told = server.accept()
            accepted.close()
        finally:
            caller.wait(10)
    return str(told[0]), int(told[1])


@FAMILIES
@pytest.mark.usefixtures("captured")
def test_the_proxys_own_sockets_say_so_too(lab: Lab, family: int) -> None:
    """Connections that Python connects rather than the engine."""
    assert called_as(lab, family, 1337) == (FOREIGN[family], 4242)


@FAMILIES
def test_nobody_but_the_proxy_passes_for_another(lab: Lab, family: int) -> None:
    lab.tidegate("init", "--mode", "ebpf", "--exclude-outbound-ports", str(PORT)).ok()
    try:
        for uid in (0, 1000):
            assert called_as(lab, family, uid)[0] == APP[family]
    finally:
        lab.tidegate("cleanup").ok()


@pytest.mark.usefixtures("captured")
def test_other_options_are_the_kernels(lab: Lab) -> None:
    with made_in(lab.app, socket.AF_INET) as one:
        for size in (4, 4096, 100_000):
            with pytest.raises(OSError, match="not available") as refused:
                one.setsockopt(0x7467, 2, bytes(size))
            assert refused.value.errno == errno.ENOPROTOOPT
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 40_000
        # Longer than a page, which the hook cannot see.
        congestion = b"cubic" + bytes(100_000)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion)
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"cubic"
