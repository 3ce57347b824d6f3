"""Inbound ports of the direct lane: arriving connections are the workload's own, and are counted."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator

import pytest

from intercept.backends.ebpf.direct import inbound
from intercept.backends.kernel_lane import InboundCounters
from intercept.errors import CaptureError
from tests.lab import Lab
from tests.netns.ebpf.ebpf_support import APP, listening, made_in, original
from tests.netns.proxy.proxy_rig import until

pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["v4", "v6"])
PORT, OTHER = 20100, 20101


@pytest.fixture(autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "ebpf").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


def push(lab: Lab, *ports: int) -> None:
    with lab.app.entered():
        inbound.push_inbound(set(ports))


def told(lab: Lab) -> dict[int, InboundCounters]:
    with lab.app.entered():
        return {row.port: row for row in inbound.telemetry_inbound()}


def all_closed(lab: Lab) -> dict[int, InboundCounters]:
    def when_closed() -> dict[int, InboundCounters]:
        rows = told(lab)
        return rows if all(row.opened == row.closed for row in rows.values()) else {}

    found: dict[int, InboundCounters] = until(when_closed, "the last connection to be counted as closed")
    return found


@FAMILIES
@pytest.mark.parametrize("who_closes", ["workload", "client"])
def test_it_goes_straight_to_the_workload_and_is_counted(lab: Lab, family: int, who_closes: str) -> None:
    push(lab, PORT)
    with listening(lab.app, family, PORT) as workload, made_in(lab.peer, family) as client:
        client.connect((APP[family], PORT))
        accepted, peer = workload.accept()
        assert peer == client.getsockname()
        with accepted:
            accepted.settimeout(5)
            sending = threading.Thread(target=client.sendall, args=(bytes(200_000),))
            sending.start()
            left = 200_000
            while left:
                left -= len(accepted.recv(65536))
            sending.join()
            accepted.sendall(bytes(321))
            assert len(client.recv(999)) == 321
            first, second = (accepted, client) if who_closes == "workload" else (client, accepted)
            first.shutdown(socket.SHUT_WR)
            assert second.recv(1) == b""
            second.close()
            assert first.recv(1) == b""
    row = all_closed(lab)[PORT]
    assert (row.opened, row.closed, row.bytes_sent, row.bytes_received) == (1, 1, 321, 200_000)
    assert 0 < row.srtt_us < 1_000_000


def test_other_ports_go_to_the_proxy(lab: Lab) -> None:
    push(lab, PORT)
    with listening(lab.app, socket.AF_INET, 15006) as proxy, made_in(lab.peer, socket.AF_INET) as client:
        client.connect((APP[socket.AF_INET], OTHER))
        with proxy.accept()[0] as accepted:
            assert original(accepted, socket.AF_INET) == (APP[socket.AF_INET], OTHER)
    assert told(lab)[PORT].opened == 0


def test_a_port_that_is_taken_back_goes_to_the_proxy_and_its_connections_live_on(lab: Lab) -> None:
    with (
        listening(lab.app, socket.AF_INET, PORT) as workload,
        listening(lab.app, socket.AF_INET, 15006) as proxy,
        made_in(lab.peer, socket.AF_INET) as old,
        made_in(lab.peer, socket.AF_INET) as new,
    ):
        push(lab, PORT)
        old.connect((APP[socket.AF_INET], PORT))
        with workload.accept()[0] as at_workload:
            push(lab, OTHER)
            new.connect((APP[socket.AF_INET], PORT))
            proxy.accept()[0].close()
            old.sendall(b"still there")
            assert at_workload.recv(99) == b"still there"
            assert told(lab)[PORT].opened == 1
            old.close()
            assert at_workload.recv(99) == b""
        until(lambda: PORT not in told(lab), "a port that is not the direct lane's any more to be forgotten")
    assert set(told(lab)) == {OTHER}


def test_calls_within_the_namespace_and_excluded_sources_are_not_counted(lab: Lab) -> None:
    lab.tidegate("init", "--mode", "ebpf", "--exclude-inbound-cidrs", "10.0.0.1", "--self-calls", "bypass").ok()
    push(lab, PORT)
    with listening(lab.app, socket.AF_INET, PORT) as workload:
        for place, host in ((lab.app, "127.0.0.1"), (lab.app, "10.0.0.2"), (lab.peer, "10.0.0.2")):
            with made_in(place, socket.AF_INET) as client:
                client.connect((host, PORT))
                workload.accept()[0].close()
    assert told(lab)[PORT].opened == 0


def test_a_namespace_does_not_count_anothers(lab: Lab) -> None:
    push(lab, PORT)
    with listening(lab.peer, socket.AF_INET, PORT) as listener, made_in(lab.app, socket.AF_INET) as client:
        lab.tidegate("init", "--mode", "ebpf", "--exclude-outbound-ports", str(PORT)).ok()
        client.connect(("10.0.0.1", PORT))
        listener.accept()[0].close()
    assert told(lab)[PORT].opened == 0


def test_nobody_listens(lab: Lab) -> None:
    push(lab, PORT)
    with made_in(lab.peer, socket.AF_INET) as client:
        assert client.connect_ex((APP[socket.AF_INET], PORT)) == errno.ECONNREFUSED


def test_what_is_no_port_is_refused(lab: Lab) -> None:
    with pytest.raises(CaptureError, match="65536 is not a port"):
        push(lab, 65536)
