"""The direct lane's telemetry: what it counts is what was really sent, however a connection ends."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bpf import direct_layout
from cext.libbpf import libbpf
from intercept.backends.ebpf.direct import services
from intercept.backends.kernel_lane import KernelCounters, KernelEndpoint
from intercept.errors import CaptureError
from tests.lab import Lab
from tests.lab.patience import patient
from tests.netns.direct.direct_rig import FIRST, PORT, VIRTUAL, calls, push, reset, servers, service, settled, told
from tests.netns.ebpf.ebpf_support import PEER, folder, listening, made_in
from tests.netns.proxy.proxy_rig import until

pytestmark = pytest.mark.kernel

ENDINGS = {}
EVERY_THIRD_IS_LOST = f"""
table inet drops {{
  chain in {{
    type filter hook input priority 0
    tcp dport {FIRST} tcp flags & (psh|syn) == psh numgen inc mod 3 == 0 drop
  }}
}}
"""


@pytest.fixture(autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "ebpf").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


def ending(function: Callable[[socket.socket, socket.socket], None]) -> Callable[[socket.socket, socket.socket], None]:
    ENDINGS[function.__name__] = function
    return function


def read_to_end(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass


@ending
def the_workload_closes_first(client: socket.socket, server: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    read_to_end(server)
    server.close()
    read_to_end(client)


@ending
def the_server_closes_first(client: socket.socket, server: socket.socket) -> None:
    server.shutdown(socket.SHUT_WR)
    read_to_end(client)
    client.close()
    read_to_end(server)


@ending
def both_close_without_waiting(client: socket.socket, server: socket.socket) -> None:
    client.close()
    server.close()


@ending
def the_workload_resets(client: socket.socket, server: socket.socket) -> None:
    reset(client)
    server.close()


@ending
def the_server_resets(client: socket.socket, server: socket.socket) -> None:
    reset(server)
    client.close()


@ending
def the_server_resets_what_is_half_closed(client: socket.socket, server: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    read_to_end(server)
    reset(server)
    client.close()


@ending
def the_workload_resets_what_is_half_closed(client: socket.socket, server: socket.socket) -> None:
    server.shutdown(socket.SHUT_WR)
    read_to_end(client)
    reset(client)
    server.close()


@ending
def the_workload_leaves_after_half_closing(client: socket.socket, server: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    read_to_end(server)
    client.close()
    server.close()


def transfer(sender: socket.socket, receiver: socket.socket, size: int) -> None:
    """All of it has been read, and so acknowledged soon, when this returns."""
    writing = threading.Thread(target=sender.sendall, args=(bytes(size),))
    writing.start()
    left = size
    while left:
        left -= len(receiver.recv(min(left, 1 << 20)))
    writing.join()


@pytest.mark.parametrize("late", [0, 5000], ids=["", "with-data-after-half-close"])
@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        (socket.AF_INET, (0, 0)),
        (socket.AF_INET, (1, 0)),
        (socket.AF_INET, (0, 1)),
        (socket.AF_INET, (3_000_000, 77)),
        (socket.AF_INET6, (1000, 300_001)),
    ],
    ids=["v4-nothing", "v4-1-0", "v4-0-1", "v4-much-sent", "v6-more-received"],
)
@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_bytes_are_the_payloads(
    lab: Lab,
    end: Callable[[socket.socket, socket.socket], None],
    family: int,
    sizes: tuple[int, int],
    late: int,
) -> None:
    push(lab, service(family=family))
    sent, received = sizes
    with listening(lab.peer, family, FIRST) as listener, made_in(lab.app, family) as client:
        client.connect((VIRTUAL[family], PORT))
        server = listener.accept()[0]
        with server:
            server.settimeout(5)
            transfer(client, server, sent)
            transfer(server, client, received)
            _all_acknowledged(client, server)
            if late:
                client.shutdown(socket.SHUT_WR)
                transfer(server, client, late)
                _all_acknowledged(client, server)
                received += late
            end(client, server)
    row = settled(lab)[FIRST]
    assert (row.opened, row.closed, row.failed) == (1, 1, 0)
    assert (row.bytes_sent, row.bytes_received) == (sent, received)


def _all_acknowledged(*socks: socket.socket) -> None:
    """A reset would take away what the other side has not acknowledged yet."""
    until(lambda: not any(_unacknowledged(sock) for sock in socks), "everything to be acknowledged")


def _unacknowledged(sock: socket.socket) -> int:
    found: int = struct.unpack("i", fcntl.ioctl(sock, 0x5411, bytes(4)))[0]  # SIOCOUTQ
    return found


def test_live_connections_are_told_too(lab: Lab) -> None:
    push(lab, service())
    with listening(lab.peer, socket.AF_INET, FIRST) as listener, made_in(lab.app, socket.AF_INET) as client:
        client.connect((VIRTUAL[socket.AF_INET], PORT))
        server = listener.accept()[0]
        with server:
            last = KernelCounters(0, "", 0)
            for turn in range(1, 6):
                transfer(client, server, 10_000)
                transfer(server, client, 20_000)
                _all_acknowledged(client, server)
                row = until(lambda: told(lab)[FIRST], "telemetry")
                assert (row.opened, row.closed) == (1, 0)
                assert row.bytes_sent == 10_000 * turn
                assert 20_000 * (turn - 1) <= row.bytes_received <= 20_000 * turn
                assert row.bytes_received >= last.bytes_received
                last = row
            assert 0 < last.srtt_us < 1_000_000
    assert settled(lab)[FIRST].bytes_received == 100_000


def test_refused_and_timed_out_are_failures(lab: Lab) -> None:
    nobody = service()._replace(endpoints=(KernelEndpoint("10.0.0.99", FIRST, 1),))
    push(lab, service(number=1), nobody._replace(ip="10.96.0.2", id=2))
    for _ in range(3):
        with made_in(lab.app, socket.AF_INET) as client:
            assert client.connect_ex((VIRTUAL[socket.AF_INET], PORT)) == errno.ECONNREFUSED
    with made_in(lab.app, socket.AF_INET) as client:
        client.settimeout(0.2)
        assert client.connect_ex(("10.96.0.2", PORT)) == errno.EAGAIN
    with lab.app.entered():
        rows = {(row.service, row.ip): row for row in services.telemetry()}
    refused, lost = rows[1, PEER[socket.AF_INET]], rows[2, "10.0.0.99"]
    assert (refused.opened, refused.closed, refused.failed) == (0, 0, 3)
    assert (lost.opened, lost.closed, lost.failed) == (0, 0, 1)


def test_retransmits_are_counted(lab: Lab) -> None:
    push(lab, service())
    with listening(lab.peer, socket.AF_INET, FIRST) as listener, made_in(lab.app, socket.AF_INET) as client:
        client.connect((VIRTUAL[socket.AF_INET], PORT))
        with listener.accept()[0] as server:
            server.settimeout(5)
            lab.peer.run(["nft", "-f", "-"], stdin=EVERY_THIRD_IS_LOST)
            try:
                for _ in range(6):
                    transfer(client, server, 100)
            finally:
                lab.peer.run(["nft", "delete", "table", "inet", "drops"])
    row = settled(lab)[FIRST]
    assert row.retransmits >= 2
    assert row.bytes_sent == 600


def test_thousands_of_connections_leave_the_maps_as_they_were(lab: Lab) -> None:
    push(lab, service(2))
    before = _sizes(lab)
    with servers(lab, 2):
        assert sum(calls(lab, 1000).values()) == 1000
    with lab.app.entered():
        for _ in range(4000):
            with socket.socket() as client:
                assert client.connect_ex((VIRTUAL[socket.AF_INET], PORT)) == errno.ECONNREFUSED
    rows = settled(lab)
    assert sum(row.opened for row in rows.values()) == 1000
    assert sum(row.failed for row in rows.values()) == 4000
    assert _sizes(lab) == before


def test_what_is_gone_is_told_until_its_last_connection_has_ended(lab: Lab) -> None:
    push(lab, service())
    with listening(lab.peer, socket.AF_INET, FIRST) as listener, made_in(lab.app, socket.AF_INET) as client:
        client.connect((VIRTUAL[socket.AF_INET], PORT))
        with listener.accept()[0] as server:
            push(lab)
            assert told(lab)[FIRST].opened == 1
            assert set(told(lab)) == {FIRST}, "the service itself was told once more"
            client.sendall(bytes(50))
            client.close()
            read_to_end(server)
    deadline = time.monotonic() + 5
    rows = told(lab)
    while rows[FIRST].closed == 0:
        assert time.monotonic() < deadline
        rows = told(lab)
    assert rows[FIRST].bytes_sent == 50
    assert told(lab) == {}
    push(lab, service())
    assert told(lab)[FIRST].opened == 0


def test_an_endpoint_that_comes_back_goes_on_counting(lab: Lab) -> None:
    push(lab, service())
    with servers(lab, 1):
        calls(lab, 2)
        push(lab)
        push(lab, service())
        calls(lab, 3)
    assert settled(lab)[FIRST].opened == 5


def test_a_replacement_of_the_capture_keeps_all_of_it(lab: Lab) -> None:
    push(lab, service())
    with servers(lab, 1):
        calls(lab, 2)
        settled(lab)  # without the program their ends would be seen by nobody
        (folder(lab.app) / "links" / "sockops").unlink()
        lab.tidegate("init", "--mode", "ebpf", "--exclude-outbound-ports", "22").ok()
        calls(lab, 2)
    assert settled(lab)[FIRST].opened == 4


def test_a_thousand_services_are_pushed_in_a_tenth_of_a_second(lab: Lab) -> None:
    everything = [
        service(number=n)._replace(
            ip=f"10.97.{n >> 8}.{n & 255}",
            endpoints=tuple(KernelEndpoint(f"10.1.{n & 255}.{i}", 1024 + (n >> 8), 1) for i in range(1, 11)),
        )
        for n in range(1000)
    ]
    took = []
    gc.collect()
    gc.freeze()  # else it is this test session's heap that is measured
    try:
        for change in range(5):
            begun = time.monotonic()
            push(lab, *everything[change:], service(number=5000))
            took.append(time.monotonic() - begun)
    finally:
        gc.unfreeze()
    with servers(lab, 1):
        assert calls(lab, 2) == {FIRST: 2}
    assert min(took) < patient(0.1)


def test_without_a_capture_there_is_nothing_to_push_to(lab: Lab) -> None:
    lab.tidegate("cleanup").ok()
    with pytest.raises(CaptureError, match="not in force"):
        push(lab, service())
    with pytest.raises(CaptureError, match="not in force"):
        told(lab)


def test_cleanup_leaves_nothing(lab: Lab) -> None:
    push(lab, service())
    ours = folder(lab.app)
    with servers(lab, 1):
        calls(lab, 1)
        lab.tidegate("cleanup").ok()
    assert not ours.exists()


def _sizes(lab: Lab) -> dict[str, int]:
    keys = {"tg_members": direct_layout.MEMBER_SIZE, "tg_service_states": 4, "tg_affinity": 20, "tg_pending": 36}
    found = {}
    for name, size in keys.items():
        fd = libbpf.get_pinned(folder(lab.app) / "maps" / name)
        try:
            found[name] = len(libbpf.map_keys(fd, size))
        finally:
            os.close(fd)
    return found
