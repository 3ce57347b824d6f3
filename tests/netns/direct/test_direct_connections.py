"""The open connections of the direct lane, one by one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from intercept.backends.ebpf.direct import inbound, live
from intercept.backends.kernel_lane import KernelConnection
from tests.lab import Lab
from tests.netns.direct.direct_rig import FIRST, PORT, VIRTUAL, push, service
from tests.netns.ebpf.ebpf_support import APP, PEER, listening, made_in
from tests.netns.proxy.proxy_rig import until

pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["v4", "v6"])


@pytest.fixture(autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "ebpf").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


def open_now(lab: Lab) -> list[KernelConnection]:
    with lab.app.entered():
        return live.connections()


@FAMILIES
def test_an_outbound_connection_from_its_syn_to_its_end(lab: Lab, family: int) -> None:
    push(lab, service(family=family))
    assert open_now(lab) == []
    with listening(lab.peer, family, FIRST) as listener, made_in(lab.app, family) as client:
        client.connect((VIRTUAL[family], PORT))
        with listener.accept()[0] as server:
            server.settimeout(5)
            client.sendall(bytes(1000))
            assert len(server.recv(9999)) == 1000
            server.sendall(bytes(70))
            assert len(client.recv(9999)) == 70
            until(lambda: open_now(lab)[0].bytes_sent == 1000, "an acknowledgement")
            (one,) = open_now(lab)
            assert (one.inbound, one.service, one.endpoint) == (False, 7, (PEER[family], FIRST))
            assert one.client == client.getsockname()[:2]
            assert one.established
            assert (one.bytes_sent, one.bytes_received) == (1000, 70)
            assert 0 <= one.age_s < 5
            assert 0 < one.srtt_us < 1_000_000
            # Half closed, either way: a FIN is no byte.
            server.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
            (one,) = open_now(lab)
            assert (one.bytes_sent, one.bytes_received) == (1000, 70)
            client.close()
            assert server.recv(1) == b""
    until(lambda: open_now(lab) == [], "the connection to end")


def test_one_that_is_not_established(lab: Lab) -> None:
    nobody = service()._replace(endpoints=(service().endpoints[0]._replace(ip="10.0.0.99"),))
    push(lab, nobody)
    with made_in(lab.app, socket.AF_INET) as client:
        client.setblocking(False)
        client.connect_ex((VIRTUAL[socket.AF_INET], PORT))
        (one,) = open_now(lab)
        assert not one.established
        assert (one.bytes_sent, one.bytes_received) == (0, 0)
    assert open_now(lab) == []


def test_what_goes_to_the_proxy_is_not_the_direct_lanes(lab: Lab) -> None:
    push(lab, service())
    with listening(lab.app, socket.AF_INET, 15001) as proxy, made_in(lab.app, socket.AF_INET) as client:
        client.connect((PEER[socket.AF_INET], PORT))
        with proxy.accept()[0]:
            assert open_now(lab) == []


@FAMILIES
def test_an_inbound_connection(lab: Lab, family: int) -> None:
    with lab.app.entered():
        inbound.push_inbound({FIRST})
    with listening(lab.app, family, FIRST) as workload, made_in(lab.peer, family) as client:
        client.connect((APP[family], FIRST))
        with workload.accept()[0] as accepted:
            accepted.sendall(bytes(5))
            assert len(client.recv(99)) == 5
            until(lambda: open_now(lab)[0].bytes_sent == 5, "an acknowledgement")
            (one,) = open_now(lab)
            assert (one.inbound, one.service, one.established) == (True, 0, True)
            assert (one.endpoint, one.client) == ((APP[family], FIRST), client.getsockname()[:2])
            client.close()
            assert accepted.recv(1) == b""
    until(lambda: open_now(lab) == [], "the connection to end")
