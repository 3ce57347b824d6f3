"""What programs see of a captured connection through the socket calls, on either side of it."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.netns.ebpf.ebpf_support import (
    APP,
    LEVEL,
    LOOPBACK,
    PEER,
    SIZE,
    SO_ORIGINAL_DST,
    decoded,
    listening,
    made_in,
    original,
)

pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
MSG_FASTOPEN = 0x20000000
TCP_FASTOPEN_CONNECT = 30


@pytest.fixture(scope="module", autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "ebpf", "--dns", "all").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


@FAMILIES
def test_both_sides_see_the_destination_that_was_asked_for(lab: Lab, family: int) -> None:
    with listening(lab.app, family, 15001) as listener, made_in(lab.app, family) as client:
        client.connect((PEER[family], 4321))
        accepted, peer = listener.accept()
        with accepted:
            assert client.getpeername()[:2] == (PEER[family], 4321)
            assert original(accepted, family) == (PEER[family], 4321)
            assert peer[:2] == client.getsockname()[:2]
            client.sendall(b"to")
            assert accepted.recv(9) == b"to"
            accepted.sendall(b"fro")
            assert client.recv(9) == b"fro"


def test_a_v4_mapped_socket_on_either_side(lab: Lab) -> None:
    """An AF_INET6 client to ::ffff:10.0.0.1, and a dual-stack listener: plain IPv4 on the proxy's side."""
    with listening(lab.app, socket.AF_INET6, 15001, "dual") as listener, made_in(lab.app, socket.AF_INET6) as client:
        client.connect(("::ffff:10.0.0.1", 80))
        accepted, _ = listener.accept()
        with accepted:
            assert client.getpeername()[:2] == ("::ffff:10.0.0.1", 80)
            assert original(accepted, socket.AF_INET) == ("10.0.0.1", 80)
            with pytest.raises(OSError, match=r".") as refused:
                accepted.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
            assert refused.value.errno in (errno.ENOENT, errno.ENOPROTOOPT)


def raw_getsockopt(one: socket.socket, level: int, length: int) -> tuple[int, int]:
    """(errno or 0, the length that came back), for lengths that Python's own call refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer, size = ctypes.create_string_buffer(max(length, 64)), ctypes.c_int(length)
    failed = libc.getsockopt(one.fileno(), level, SO_ORIGINAL_DST, buffer, ctypes.byref(size))
    return (ctypes.get_errno() if failed else 0), size.value


@FAMILIES
def test_getsockopt_of_another_level_name_or_length(lab: Lab, family: int) -> None:
    level, size = LEVEL[family], SIZE[family]
    with listening(lab.app, family, 15001) as listener, made_in(lab.app, family) as client:
        client.connect((PEER[family], 80))
        accepted, _ = listener.accept()
        with accepted:
            # An ample buffer: the answer's own length comes back.
            for ample in (size, size + 1, 128, 1024):
                raw = accepted.getsockopt(level, SO_ORIGINAL_DST, ample)
                assert (len(raw), decoded(raw)) == (size, (PEER[family], 80))
            for huge in (4096, 4097, 1 << 20):
                assert raw_getsockopt(accepted, level, huge) == (0, size)
            assert raw_getsockopt(accepted, level, -1)[0] == errno.EINVAL
            for short in (1, 2, 8, size - 1):
                with pytest.raises(OSError, match=r".") as refused:
                    accepted.getsockopt(level, SO_ORIGINAL_DST, short)
                assert refused.value.errno == errno.EINVAL, short
            for other, name in ((socket.SOL_TCP, 80), (socket.SOL_SOCKET, 80), (level, 81), (255, 80)):
                with pytest.raises(OSError, match=r".") as refused:
                    accepted.getsockopt(other, name, 64)
                assert refused.value.errno in (errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EINVAL), (other, name)
            # What is none of ours is answered as ever.
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
            assert accepted.getsockopt(socket.SOL_TCP, socket.TCP_NODELAY) == 0


@FAMILIES
def test_who_was_not_steered_gets_no_original_destination(lab: Lab, family: int) -> None:
    """The kernel's own answer stands: for the client's socket, and for servers that have nothing to do with us."""
    with listening(lab.app, family, 7777) as server, made_in(lab.app, family) as client:
        client.connect((LOOPBACK[family], 7777))
        accepted, _ = server.accept()
        with accepted:
            for one in (client, accepted):
                with pytest.raises(OSError, match=r".") as refused:
                    one.getsockopt(LEVEL[family], SO_ORIGINAL_DST, 28)
                assert refused.value.errno in (errno.ENOENT, errno.ENOPROTOOPT)
            assert client.getpeername()[:2] == (LOOPBACK[family], 7777)


@FAMILIES
def test_inbound_has_its_true_addresses(lab: Lab, family: int) -> None:
    with listening(lab.app, family, 15006) as listener, made_in(lab.peer, family) as client:
        client.connect((APP[family], 8080))
        accepted, peer = listener.accept()
        with accepted:
            assert accepted.getsockname()[:2] == (APP[family], 8080)
            assert peer[:2] == client.getsockname()[:2]
            assert original(accepted, family) == (APP[family], 8080)


def test_one_source_port_to_two_inbound_ports(lab: Lab) -> None:
    with listening(lab.app, socket.AF_INET, 15006) as listener:
        for _ in range(50):
            with made_in(lab.peer, socket.AF_INET) as one, made_in(lab.peer, socket.AF_INET) as two:
                for client in (one, two):
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.bind(("10.0.0.1", 0))
                two.bind(one.getsockname())
                one.connect(("10.0.0.2", 8080))
                two.connect(("10.0.0.2", 9090))
                found = set()
                for _each in range(2):
                    accepted, _ = listener.accept()
                    with accepted:
                        found.add(accepted.getsockname()[1])
                assert found == {8080, 9090}


@FAMILIES
def test_non_blocking_connect(lab: Lab, family: int) -> None:
    with listening(lab.app, family, 15001) as listener, made_in(lab.app, family) as client:
        client.setblocking(False)
        assert client.connect_ex((PEER[family], 80)) in (0, errno.EINPROGRESS)
        accepted, _ = listener.accept()
        with accepted:
            assert original(accepted, family) == (PEER[family], 80)
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@FAMILIES
@pytest.mark.parametrize("how", ["sendto", "option"])
def test_fast_open(lab: Lab, family: int, how: str) -> None:
    """The second connection has a cookie, so its SYN carries data and connect() itself sends nothing."""
    with listening(lab.app, family, 15001) as listener:
        listener.setsockopt(socket.SOL_TCP, socket.TCP_FASTOPEN, 16)
        for _ in range(2):
            with made_in(lab.app, family) as client:
                client.settimeout(None)
                if how == "sendto":
                    client.sendto(b"early", MSG_FASTOPEN, (PEER[family], 80))
                else:
                    client.setsockopt(socket.SOL_TCP, TCP_FASTOPEN_CONNECT, 1)
                    client.connect((PEER[family], 80))
                    client.sendall(b"early")
                accepted, _ = listener.accept()
                with accepted:
                    accepted.settimeout(5)
                    assert original(accepted, family) == (PEER[family], 80)
                    assert accepted.recv(9) == b"early"
                    assert client.getpeername()[:2] == (PEER[family], 80)


@FAMILIES
def test_a_socket_used_again_after_a_refusal_keeps_nothing_of_before(lab: Lab, family: int) -> None:
    with made_in(lab.app, family) as client:
        client.settimeout(None)  # a connect() that Python waits for itself would leave its error to the next one
        with pytest.raises(ConnectionRefusedError):
            client.connect((PEER[family], 80))
        with listening(lab.app, family, 7777) as server:
            client.connect((LOOPBACK[family], 7777))
            assert client.getpeername()[:2] == (LOOPBACK[family], 7777)
            server.accept()[0].close()


@FAMILIES
def test_a_listener_dialled_straight_after_a_refusal_is_refused_too(lab: Lab, family: int) -> None:
    """The hook remembers that it steered this socket there a moment ago; that must not open the door."""
    with made_in(lab.app, family) as client:
        client.settimeout(None)  # a connect() that Python waits for itself would leave its error to the next one
        with pytest.raises(ConnectionRefusedError):
            client.connect((PEER[family], 80))
        with listening(lab.app, family, 15001):
            for host in (LOOPBACK[family], APP[family]):
                with pytest.raises(ConnectionRefusedError):
                    client.connect((host, 15001))


@FAMILIES
@pytest.mark.parametrize("connected", [False, True], ids=["unconnected", "connected"])
def test_udp_dns(lab: Lab, family: int, connected: bool) -> None:
    kind = socket.SOCK_DGRAM
    with made_in(lab.app, family, kind) as server, made_in(lab.app, family, kind) as client:
        server.bind((LOOPBACK[family], 15053))
        for host in (PEER[family], APP[family]):
            if connected:
                client.connect((host, 53))
                client.send(b"question")
                assert client.getpeername()[:2] == (host, 53)
            else:
                client.sendto(b"question", (host, 53))
            _, asked_by = server.recvfrom(99)
            server.sendto(b"answer", asked_by)
            answer, sender = client.recvfrom(99)
            assert (answer, sender[:2]) == (b"answer", (host, 53))


def test_udp_dns_of_a_v4_mapped_socket(lab: Lab) -> None:
    kind = socket.SOCK_DGRAM
    with made_in(lab.app, socket.AF_INET, kind) as server, made_in(lab.app, socket.AF_INET6, kind) as client:
        server.bind(("127.0.0.1", 15053))
        client.sendto(b"question", ("::ffff:10.0.0.1", 53))
        _, asked_by = server.recvfrom(99)
        server.sendto(b"answer", asked_by)
        answer, sender = client.recvfrom(99)
        assert (answer, sender[:2]) == (b"answer", ("::ffff:10.0.0.1", 53))


def test_an_answer_from_elsewhere_keeps_its_sender(lab: Lab) -> None:
    kind = socket.SOCK_DGRAM
    with made_in(lab.app, socket.AF_INET, kind) as client, made_in(lab.app, socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        client.bind(("127.0.0.1", 0))
        client.sendto(b"question", ("10.0.0.1", 53))
        other.sendto(b"hello", client.getsockname())
        assert client.recvfrom(99) == (b"hello", other.getsockname())


def test_a_bound_source_address_is_kept(lab: Lab) -> None:
    with listening(lab.app, socket.AF_INET, 15001) as listener, made_in(lab.app, socket.AF_INET) as client:
        client.bind(("10.0.0.2", 0))
        client.connect(("10.0.0.1", 80))
        accepted, peer = listener.accept()
        with accepted:
            assert peer == client.getsockname()
            assert peer[0] == "10.0.0.2"
            assert original(accepted, socket.AF_INET) == ("10.0.0.1", 80)
