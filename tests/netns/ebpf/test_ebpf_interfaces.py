"""Connections for which an interface counts: link-local addresses, and sockets that are bound to one."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.namespaces import Namespace
from tests.netns.ebpf.ebpf_support import LOOPBACK, PEER, SO_ORIGINAL_DST, listening, made_in

pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])


@pytest.fixture(scope="module", autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "ebpf", "--dns", "all").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


def link_local(namespace: Namespace) -> tuple[str, str, int]:
    """(address, interface, its index) of a namespace's link-local address."""
    shown = namespace.run(["ip", "-json", "-6", "address", "show", "scope", "link"]).stdout
    for link in json.loads(shown):
        for address in link.get("addr_info", ()):
            if "local" in address:
                return address["local"], link["ifname"], link["ifindex"]
    raise AssertionError(f"no link-local address in {shown}")


def test_outbound_to_a_link_local_address_goes_direct(lab: Lab) -> None:
    peer, _, _ = link_local(lab.peer)
    _, _, index = link_local(lab.app)
    with listening(lab.peer, socket.AF_INET6, 7301) as server, made_in(lab.app, socket.AF_INET6) as client:
        client.connect((peer, 7301, 0, index))
        server.accept()[0].close()
        assert client.getpeername()[:2] == (peer, 7301)
    said = lab.tidegate("explain", "outbound", "--dst", f"[{peer}]:7301", "--json").ok().json
    assert (said["decision"], said["rule"]) == ("direct", "link-local")


def test_inbound_to_a_link_local_address_tells_its_interface(lab: Lab) -> None:
    app, _, app_index = link_local(lab.app)
    _, _, index = link_local(lab.peer)
    with listening(lab.app, socket.AF_INET6, 15006) as listener, made_in(lab.peer, socket.AF_INET6) as client:
        client.connect((app, 8080, 0, index))
        accepted, _ = listener.accept()
        with accepted:
            raw = accepted.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
            port, scope_id = struct.unpack_from(">H", raw, 2)[0], struct.unpack_from("=I", raw, 24)[0]
            assert (socket.inet_ntop(socket.AF_INET6, raw[8:24]), port, scope_id) == (app, 8080, app_index)


def test_other_addresses_have_no_interface(lab: Lab) -> None:
    with listening(lab.app, socket.AF_INET6, 15006) as listener, made_in(lab.peer, socket.AF_INET6) as client:
        client.connect(("fd00::2", 8080))
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)[24:28] == bytes(4)


@FAMILIES
def test_a_socket_that_is_bound_to_an_interface_goes_direct(lab: Lab, family: int) -> None:
    name = link_local(lab.app)[1].encode()
    with listening(lab.peer, family, 7302) as server, made_in(lab.app, family) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
        client.connect((PEER[family], 7302))
        server.accept()[0].close()
        assert client.getpeername()[:2] == (PEER[family], 7302)
    status = lab.tidegate("status", "--json").ok().json
    assert status["counters"]["bound-to-interface"] > 0
    assert any("bound to a network interface" in one for one in status["not_captured"])


@FAMILIES
def test_one_that_is_bound_to_loopback_is_captured(lab: Lab, family: int) -> None:
    with listening(lab.app, family, 15001) as listener, made_in(lab.app, family) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        client.connect((PEER[family], 80))
        listener.accept()[0].close()


@FAMILIES
def test_a_dns_question_from_a_bound_socket_goes_direct(lab: Lab, family: int) -> None:
    kind = socket.SOCK_DGRAM
    name = link_local(lab.app)[1].encode()
    before = lab.tidegate("status", "--json").ok().json["counters"]
    with made_in(lab.app, family, kind) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
        client.sendto(b"question", (PEER[family], 53))
    after = lab.tidegate("status", "--json").ok().json["counters"]
    assert after["bound-to-interface"] == before["bound-to-interface"] + 1
    assert after["dns"] == before["dns"]


@FAMILIES
def test_a_bound_socket_does_not_get_past_the_guard_of_the_listeners(lab: Lab, family: int) -> None:
    with listening(lab.app, family, 15001), made_in(lab.app, family) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        client.settimeout(None)
        with pytest.raises(ConnectionRefusedError):
            client.connect((LOOPBACK[family], 15001))
