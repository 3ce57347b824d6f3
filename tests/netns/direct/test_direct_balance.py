"""The direct lane under ebpf capture: where connections to a service go, and what the workload sees of it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import os
import platform
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from bpf.loader import OBJECTS, features
from cext.libbpf import libbpf
from cext.libbpf.kinds import AttachType
from intercept.backends.ebpf import backend as ebpf
from intercept.backends.ebpf.anchors import open_anchors
from intercept.backends.ebpf.direct import inbound
from intercept.backends.kernel_lane import KernelEndpoint
from tests.lab import Lab
from tests.netns.direct.direct_rig import FIRST, PORT, VIRTUAL, call, calls, push, servers, service, told
from tests.netns.ebpf.ebpf_support import PEER, folder, listening, made_in, original

pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["v4", "v6"])


@pytest.fixture(autouse=True)
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "ebpf", "--exclude-outbound-for", "tcp:20000:54321").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


@FAMILIES
def test_the_workload_sees_the_service_and_the_server_the_workload(lab: Lab, family: int) -> None:
    push(lab, service(family=family))
    with listening(lab.peer, family, FIRST) as listener, made_in(lab.app, family) as client:
        client.connect((VIRTUAL[family], PORT))
        accepted, peer = listener.accept()
        with accepted:
            assert client.getpeername()[:2] == (VIRTUAL[family], PORT)
            assert peer[:2] == client.getsockname()[:2], "no proxy and no NAT is in the path"
            client.sendall(b"question")
            assert accepted.recv(99) == b"question"


def test_a_v4_mapped_socket(lab: Lab) -> None:
    push(lab, service())
    with servers(lab, 1), made_in(lab.app, socket.AF_INET6) as client:
        client.connect((f"::ffff:{VIRTUAL[socket.AF_INET]}", PORT))
        assert client.makefile("rb").readline() == b"%d\n" % FIRST
        assert client.getpeername()[:2] == (f"::ffff:{VIRTUAL[socket.AF_INET]}", PORT)


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 7), (5,), (300, 100)], ids=str)
def test_round_robin_keeps_the_weights_exactly(lab: Lab, weights: tuple[int, ...]) -> None:
    push(lab, service(weights=weights))
    one_round = {FIRST + i: weight // math.gcd(*weights) for i, weight in enumerate(weights)}
    with servers(lab, len(weights)):
        for _ in range(2):
            assert calls(lab, sum(one_round.values())) == one_round


@FAMILIES
def test_random_keeps_the_weights_roughly(lab: Lab, family: int) -> None:
    push(lab, service(weights=(1, 3), balance="random", family=family))
    with servers(lab, 2, family):
        got = calls(lab, 400, family=family)
    # Five standard deviations of a fair draw.
    assert abs(got[FIRST] - 100) < 45
    assert got[FIRST] + got[FIRST + 1] == 400


def test_as_many_endpoints_as_a_service_may_have(lab: Lab) -> None:
    push(lab, service(128))
    with servers(lab, 128):
        assert calls(lab, 128) == {FIRST + i: 1 for i in range(128)}


def test_new_endpoints_are_for_new_connections(lab: Lab) -> None:
    push(lab, service())
    with servers(lab, 2), made_in(lab.app, socket.AF_INET) as old:
        old.connect((VIRTUAL[socket.AF_INET], PORT))
        lines = old.makefile("rb")
        assert lines.readline() == b"%d\n" % FIRST
        moved = service()._replace(endpoints=(KernelEndpoint(PEER[socket.AF_INET], FIRST + 1, 1),))
        push(lab, moved)
        assert calls(lab, 5) == {FIRST + 1: 5}
        assert old.getpeername() == (VIRTUAL[socket.AF_INET], PORT)
        assert told(lab)[FIRST].opened - told(lab)[FIRST].closed == 1
        old.sendall(b"still there")
        old.shutdown(socket.SHUT_WR)
        assert lines.read() == b"", "the old connection's server has finished it in peace"


def test_what_is_no_longer_a_service_goes_to_the_proxy(lab: Lab) -> None:
    push(lab, service())
    push(lab)
    with listening(lab.app, socket.AF_INET, 15001) as proxy, made_in(lab.app, socket.AF_INET) as client:
        client.connect((VIRTUAL[socket.AF_INET], PORT))
        accepted, _ = proxy.accept()
        with accepted:
            assert original(accepted, socket.AF_INET) == (VIRTUAL[socket.AF_INET], PORT)


def test_other_ports_and_addresses_go_to_the_proxy(lab: Lab) -> None:
    push(lab, service())
    with listening(lab.app, socket.AF_INET, 15001) as proxy:
        for asked in ((VIRTUAL[socket.AF_INET], PORT + 1), (PEER[socket.AF_INET], PORT), (PEER[socket.AF_INET], FIRST)):
            with made_in(lab.app, socket.AF_INET) as client:
                client.connect(asked)
                accepted, _ = proxy.accept()
                with accepted:
                    assert original(accepted, socket.AF_INET) == asked
                assert client.getpeername() == asked


def test_a_socket_may_be_used_for_one_after_the_other(lab: Lab) -> None:
    """A failed connect() to a service leaves nothing on the socket that its next one would be taken for."""
    push(lab, service())
    with made_in(lab.app, socket.AF_INET) as client:
        client.settimeout(None)  # after a connect() that did not block, Linux lets the next one fail
        assert client.connect_ex((VIRTUAL[socket.AF_INET], PORT)) == errno.ECONNREFUSED
        with listening(lab.app, socket.AF_INET, 15001) as proxy:
            client.connect((PEER[socket.AF_INET], FIRST))
            accepted, _ = proxy.accept()
            with accepted:
                assert original(accepted, socket.AF_INET) == (PEER[socket.AF_INET], FIRST)
            assert client.getpeername() == (PEER[socket.AF_INET], FIRST)
    assert told(lab)[FIRST].failed == 1
    assert told(lab)[FIRST].opened == 0


def test_an_endpoint_in_this_namespace_is_told_no_original_destination(lab: Lab) -> None:
    here = service()._replace(endpoints=(KernelEndpoint("10.0.0.2", FIRST, 1),))
    push(lab, here)
    with listening(lab.app, socket.AF_INET, FIRST) as listener, made_in(lab.app, socket.AF_INET) as client:
        client.connect((VIRTUAL[socket.AF_INET], PORT))
        accepted, _ = listener.accept()
        with accepted, pytest.raises(OSError, match=r"No such file|not available"):
            original(accepted, socket.AF_INET)


@contextlib.contextmanager
def hooked_twice(lab: Lab) -> Iterator[None]:
    """As while capture moves from one cgroup to another within it: connect4 runs twice for each connect()."""
    with contextlib.ExitStack() as stack, libbpf.Object(OBJECTS / "connect.bpf.o") as program, lab.app.entered():
        for name in program.maps():
            fd = libbpf.get_pinned(folder(lab.app) / "maps" / name)
            stack.callback(os.close, fd)
            program.reuse_map(name, fd)
        program.set_rodata(struct.pack("=I", features()))
        program.load()
        hook = program.program_fd("connect4")
        stack.callback(os.close, hook)
        with open_anchors(None) as anchors:
            link = libbpf.link_create(hook, anchors.top, AttachType.CONNECT4, "connect4 again")
        stack.callback(os.close, link)
        stack.callback(libbpf.link_detach, link)
        yield


@pytest.mark.parametrize("endpoints", [1, 3])
def test_an_endpoint_is_not_taken_for_what_was_asked(lab: Lab, endpoints: int) -> None:
    push(lab, service(endpoints))
    with servers(lab, endpoints), hooked_twice(lab):
        assert calls(lab, endpoints) == {FIRST + i: 1 for i in range(endpoints)}
        with made_in(lab.app, socket.AF_INET) as client:
            client.connect((VIRTUAL[socket.AF_INET], PORT))
            assert client.getpeername() == (VIRTUAL[socket.AF_INET], PORT)


def test_a_denied_service_refuses_at_once(lab: Lab) -> None:
    push(lab, service(denied=True))
    with servers(lab, 1), made_in(lab.app, socket.AF_INET) as client:
        assert client.connect_ex((VIRTUAL[socket.AF_INET], PORT)) == errno.ECONNREFUSED
    assert told(lab)[0].denied == 1
    assert told(lab)[FIRST].opened == 0


def test_a_service_without_endpoints_refuses_at_once(lab: Lab) -> None:
    push(lab, service()._replace(endpoints=()))
    with made_in(lab.app, socket.AF_INET) as client:
        assert client.connect_ex((VIRTUAL[socket.AF_INET], PORT)) == errno.ECONNREFUSED
    assert told(lab)[0].failed == 1


def test_a_rate_limit_lets_a_burst_through_and_then_its_rate(lab: Lab) -> None:
    def tried() -> Counter[int]:
        outcomes: Counter[int] = Counter()
        for _ in range(20):
            with made_in(lab.app, socket.AF_INET) as client:
                outcomes[client.connect_ex((VIRTUAL[socket.AF_INET], PORT))] += 1
        return outcomes

    push(lab, service(rate_per_s=0.2, burst=5))
    with servers(lab, 1):
        assert tried() == {0: 5, errno.ECONNREFUSED: 15}
        assert told(lab)[0].limited == 15
        # The same content again is no new allowance; another limit is.
        push(lab, service(rate_per_s=0.2, burst=5))
        assert tried() == {errno.ECONNREFUSED: 20}
        push(lab, service(rate_per_s=20, burst=2))
        assert 2 <= tried()[0] < 20
        time.sleep(0.2)
        assert 2 <= tried()[0] < 20
        push(lab, service())
        assert tried() == {0: 20}


def test_a_client_keeps_its_endpoint_while_it_is_one(lab: Lab) -> None:
    push(lab, service(4, affinity_s=1))
    lab.app.run(["ip", "addr", "add", "10.0.0.3/24", "dev", "eth0"])
    with lab.app.entered():
        ebpf.refresh_addresses()  # as the companion does every two seconds
    with servers(lab, 4):
        unbound, bound = call(lab), call(lab, source="10.0.0.3")
        assert unbound != bound, "two clients took their turns"
        assert calls(lab, 6) == {unbound: 6}
        assert {call(lab, source="10.0.0.3") for _ in range(6)} == {bound}
        left = tuple(one for one in service(4).endpoints if one.port != unbound)
        push(lab, service(affinity_s=1)._replace(endpoints=left))
        assert {call(lab, source="10.0.0.3") for _ in range(6)} == {bound}
        other = call(lab)
        assert other != unbound
        assert calls(lab, 6) == {other: 6}
        time.sleep(1.1)
        seen = {call(lab)}
        for _ in range(3):
            time.sleep(1.1)
            seen.add(call(lab))
        assert len(seen) > 1, "a client that was idle for that long is a new one"


BINDS_MANY = """
import os, socket
os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000)
for n in range(20_000):
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND, which any user may set
        client.bind((f"{sys_first}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", 0))
        client.connect_ex(("10.96.0.1", 20000))
"""


@pytest.mark.parametrize("first", [127, 198], ids=["loopback addresses", "addresses of others"])
def test_a_program_that_binds_many_addresses_takes_nobodys_place(lab: Lab, first: int) -> None:
    """There are 4,096 places for clients that keep their endpoint."""
    push(lab, service(4, affinity_s=60))
    with servers(lab, 4):
        kept = call(lab)
        lab.app.run([sys.executable, "-c", BINDS_MANY.replace("{sys_first}", str(first))])
        assert calls(lab, 6) == {kept: 6}


def test_excluded_users_are_not_balanced(lab: Lab) -> None:
    """What goes direct by the capture's own rules never asks for a service: here it finds nobody at that address."""
    push(lab, service())
    with servers(lab, 1):
        assert call(lab) == FIRST
        with made_in(lab.app, socket.AF_INET) as client:
            client.settimeout(0.3)
            with pytest.raises(OSError, match=r"timed out|unreachable|No route"), _as_user(54321):
                client.connect((VIRTUAL[socket.AF_INET], PORT))


@pytest.mark.parametrize(
    "flags",
    [("--exclude-outbound-ports", "20000"), ("--exclude-outbound-cidrs", "10.0.0.0/8"), ("--proxy-uid", "0")],
    ids=["port", "cidr", "uid"],
)
def test_excludes_win_and_a_replacement_keeps_the_services(lab: Lab, flags: tuple[str, ...]) -> None:
    push(lab, service()._replace(ip="10.0.0.1"))
    with servers(lab, 1), listening(lab.peer, socket.AF_INET, PORT) as asked:
        assert call(lab, host="10.0.0.1") == FIRST
        lab.tidegate("init", "--mode", "ebpf", *flags).ok()
        with made_in(lab.app, socket.AF_INET) as client:
            client.connect(("10.0.0.1", PORT))
            asked.accept()[0].close()
        lab.tidegate("init", "--mode", "ebpf").ok()
        assert call(lab, host="10.0.0.1") == FIRST


def test_udp_is_untouched(lab: Lab) -> None:
    push(lab, service()._replace(ip=PEER[socket.AF_INET]))
    kind = socket.SOCK_DGRAM
    with made_in(lab.peer, socket.AF_INET, kind) as server, made_in(lab.app, socket.AF_INET, kind) as client:
        server.bind(("", PORT))
        client.connect((PEER[socket.AF_INET], PORT))
        client.send(b"one")
        assert server.recv(99) == b"one"
        assert client.getpeername() == (PEER[socket.AF_INET], PORT)


class _as_user:
    """This thread's real user, which is the one that the programs see, for the length of a `with` block."""

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def __enter__(self) -> None:
        _setresuid(self._uid)

    def __exit__(self, *_: object) -> None:
        _setresuid(0)


def _setresuid(real: int) -> None:
    # The system call: it concerns this thread, where libc's function tells them all.
    number = {"x86_64": 117, "aarch64": 147}[platform.machine()]
    assert ctypes.CDLL(None).syscall(number, real, -1, -1) == 0


def test_explain_tells_what_goes_past_the_proxy(lab: Lab) -> None:
    def why(direction: str, address: str, port: int) -> str:
        answer = lab.tidegate("explain", direction, "--dst", f"{address}:{port}", "--json").ok().json
        assert answer["decision"] == "capture", answer
        return str(answer["reason"])

    virtual = VIRTUAL[socket.AF_INET]
    assert "direct lane" not in why("outbound", virtual, PORT)
    push(lab, service(endpoints=2))
    assert why("outbound", virtual, PORT).endswith("connect() goes to one of its 2 endpoints, past the proxy")
    assert "direct lane" not in why("outbound", virtual, PORT + 1)
    push(lab, service(denied=True))
    assert why("outbound", virtual, PORT).endswith("denied to this workload: refused in connect()")
    push(lab, service(endpoints=0))
    assert why("outbound", virtual, PORT).endswith("without an endpoint: refused in connect()")
    with lab.app.entered():
        inbound.push_inbound({8080})
    assert why("inbound", "10.0.0.2", 8080).endswith("straight to the workload's socket, past the proxy")
    assert "direct lane" not in why("inbound", "10.0.0.2", 8081)
