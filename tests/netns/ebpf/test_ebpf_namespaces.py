"""The wrong namespace: each hook acts on the sockets of the captured one only, although it hangs where others pass too.

The hooks of cgroups hang at the top, so that the GUEST's processes run through them as well. Nothing that they do may
be touched, counted or remembered.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from bpf import layout, loader
from cext.libbpf import libbpf
from intercept.backends.kernel_lane import KernelEndpoint
from tests.lab import Lab
from tests.lab.namespaces import batch
from tests.netns.direct.direct_rig import VIRTUAL, push, service, told
from tests.netns.ebpf.ebpf_support import (
    LEVEL,
    LOOPBACK,
    SIZE,
    SO_ORIGINAL_DST,
    entries,
    folder,
    listening,
    made_in,
    original,
)

pytestmark = pytest.mark.kernel
FAMILIES = (socket.AF_INET, socket.AF_INET6)
FAR = {socket.AF_INET: "203.0.113.9", socket.AF_INET6: "2001:db8::9"}
"""Captured in APP; in GUEST it is an address of its own."""
PORT = 5432


@pytest.fixture(params=FAMILIES, ids=["ipv4", "ipv6"])
def family(request: pytest.FixtureRequest, lab: Lab) -> Iterator[socket.AddressFamily]:
    """With capture in force in APP, of everything that can be captured, and FAR an address of GUEST's."""
    one = FAR[request.param] + ("/32" if request.param == socket.AF_INET else "/128")
    nodad = "" if request.param == socket.AF_INET else " nodad"
    lab.tidegate("init", "--mode", "ebpf", "--dns", "all", "--self-calls", "hairpin").ok()
    batch(lab.guest, [f"addr add {one} dev lo{nodad}"])
    try:
        yield request.param
    finally:
        batch(lab.guest, [f"addr del {one} dev lo"])
        lab.tidegate("cleanup").ok()


def needs_namespaces() -> None:
    if not loader.features() & layout.Feature.SOCKOPS_NETNS:
        pytest.skip("kernel older than 5.15: bpf_get_netns_cookie in sockops")


def counted(lab: Lab) -> dict[str, int]:
    """Decisions of the hooks so far."""
    found = lab.tidegate("status", "--json").json["counters"]
    return {name: count for name, count in found.items() if count}


@contextlib.contextmanager
def untouched(lab: Lab) -> Iterator[None]:
    before = counted(lab), entries(lab.app, "tg_pending"), entries(lab.app, "tg_inbound")
    yield
    assert (counted(lab), entries(lab.app, "tg_pending"), entries(lab.app, "tg_inbound")) == before


def test_connections(lab: Lab, family: socket.AddressFamily) -> None:
    """connect, getpeername, getsockname, sockops at both ends, and getsockopt: what they are without capture."""
    needs_namespaces()
    with (
        listening(lab.guest, family, 15001) as steered,
        listening(lab.guest, family, PORT) as server,
        untouched(lab),
        made_in(lab.guest, family) as client,
    ):
        client.connect((FAR[family], PORT))
        accepted, peer = server.accept()
        with accepted:
            assert client.getpeername()[:2] == (FAR[family], PORT)
            assert client.getsockname()[0] == peer[0] == FAR[family]
            assert accepted.getsockname()[:2] == (FAR[family], PORT)
            with pytest.raises(OSError, match=r"No such file|not available|No route|not supported"):
                accepted.getsockopt(LEVEL[family], SO_ORIGINAL_DST, SIZE[family])
        steered.settimeout(0.2)
        with pytest.raises(TimeoutError):
            steered.accept()


def test_nobody_is_refused(lab: Lab, family: socket.AddressFamily) -> None:
    """No proxy listens in APP: there the connection is refused, here it is made. A listener's port is a port here."""
    with listening(lab.guest, family, 15006) as server, untouched(lab), made_in(lab.guest, family) as client:
        client.connect((FAR[family], 15006))
        server.accept()[0].close()
    with made_in(lab.app, family) as captured, pytest.raises(ConnectionRefusedError):
        captured.connect((FAR[family], PORT))


@pytest.mark.parametrize("connected", [False, True], ids=["sendto", "connected"])
def test_dns(lab: Lab, family: socket.AddressFamily, connected: bool) -> None:
    """sendmsg and recvmsg."""
    with (
        made_in(lab.guest, family, socket.SOCK_DGRAM) as server,
        made_in(lab.guest, family, socket.SOCK_DGRAM) as listener,
        made_in(lab.guest, family, socket.SOCK_DGRAM) as client,
        untouched(lab),
    ):
        server.bind((FAR[family], 53))
        listener.bind((LOOPBACK[family], 15053))
        if connected:
            client.connect((FAR[family], 53))
            client.send(b"question")
        else:
            client.sendto(b"question", (FAR[family], 53))
        question, asker = server.recvfrom(64)
        assert question == b"question"
        server.sendto(b"answer", asker)
        answer, source = client.recvfrom(64)
        assert (answer, source[:2]) == (b"answer", (FAR[family], 53))
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.recv(64)


def test_a_listener_at_the_inbound_port_is_no_proxy_of_ours(lab: Lab, family: socket.AddressFamily) -> None:
    """sockops at listen(), and sk_lookup."""
    needs_namespaces()
    with listening(lab.guest, family, 15006) as theirs:
        assert entries(lab.app, "tg_inbound") == 0
        with listening(lab.app, family, 15006) as ours, listening(lab.app, family, PORT):
            assert entries(lab.app, "tg_inbound") == 1
            with made_in(lab.peer, family) as client:
                client.connect(({socket.AF_INET: "10.0.0.2", socket.AF_INET6: "fd00::2"}[family], PORT))
                ours.accept()[0].close()
            theirs.settimeout(0.2)
            with pytest.raises(TimeoutError):
                theirs.accept()


def test_services_of_the_direct_lane(lab: Lab, family: socket.AddressFamily) -> None:
    """A service's address is an address of the guest's own there, and its connections are in nobody's counts."""
    push(
        lab, service(family=family)._replace(ip=FAR[family], port=PORT, endpoints=(KernelEndpoint(FAR[family], 9, 1),))
    )
    with listening(lab.guest, family, PORT) as server, untouched(lab), made_in(lab.guest, family) as client:
        client.connect((FAR[family], PORT))
        server.accept()[0].close()
        assert client.getpeername()[:2] == (FAR[family], PORT)
    assert sum(row.opened + row.failed for row in told(lab).values()) == 0
    assert VIRTUAL


def test_a_handshake_that_looks_like_a_captured_one(lab: Lab, family: socket.AddressFamily) -> None:
    """The same addresses and ports exist in each namespace: what APP's client asked for is APP's proxy's to know."""
    needs_namespaces()
    here, port = ip_address(LOOPBACK[family]), 40_123
    address = layout.address_bytes(here)
    flow = address + address + struct.pack("=HH", port, 7001)
    wanted = layout.address_bytes(ip_address(FAR[family])) + struct.pack("=HH", PORT, family)
    pending = libbpf.get_pinned(folder(lab.app) / "maps" / "tg_pending")
    try:
        libbpf.map_update(pending, flow, wanted)
        for namespace, told in ((lab.guest, False), (lab.app, True)):
            with listening(namespace, family, 7001) as listener, made_in(namespace, family) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.bind((str(here), port))
                client.connect((str(here), 7001))
                with listener.accept()[0] as accepted:
                    if told:
                        assert original(accepted, family) == (FAR[family], PORT)
                    else:
                        with pytest.raises(OSError, match=r"No such file|not available|No route|not supported"):
                            original(accepted, family)
                        assert libbpf.map_lookup(pending, flow, layout.ENDPOINT_SIZE) == wanted
    finally:
        os.close(pending)
