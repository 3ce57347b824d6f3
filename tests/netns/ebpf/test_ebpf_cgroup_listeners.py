"""Which listeners count as the captured cgroup's: those of this network namespace, however many, seen or not."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
from collections.abc import Iterator

import pytest

from bpf import layout, loader
from cext.libbpf import libbpf
from tests.lab import Lab
from tests.lab.cgroup_folder import CgroupFolder
from tests.netns.ebpf.ebpf_support import APP, folder, in_folder, listening, made_in, original
from tests.netns.intercept.test_cleanup import CAPABILITIES, holding

pytestmark = pytest.mark.kernel

PORT = 5432
MANY = 16_500  # more than tg_workload has places


@pytest.fixture
def inside(lab: Lab) -> Iterator[CgroupFolder]:
    folder = lab.cgroup.child("database")
    try:
        yield folder
    finally:
        lab.tidegate("cleanup").ok()
        folder.delete()


def is_captured(lab: Lab, server: socket.socket | None, proxy: socket.socket, port: int = PORT) -> bool:
    """A connection from PEER to that port is accepted by the proxy, and not by the server."""
    with made_in(lab.peer, socket.AF_INET) as client:
        client.connect((APP[socket.AF_INET], port))
        for one, answer in ((server, False), (proxy, True)):
            if one is None:
                continue
            one.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                accepted, _ = one.accept()
                with accepted:
                    if answer:
                        assert original(accepted, socket.AF_INET) == (APP[socket.AF_INET], port)
                    return answer
    raise AssertionError("the connection reached neither")


def test_a_listener_in_another_network_namespace_is_none_of_ours(lab: Lab, inside: CgroupFolder) -> None:
    """The same cgroup, the same port, the wrong namespace. The service here is outside of the cgroup."""
    if not loader.features() & layout.Feature.SOCKOPS_NETNS:
        pytest.skip("kernel older than 5.15: bpf_get_netns_cookie in sockops")
    lab.tidegate("init", "--mode", "ebpf", "--cgroup", str(inside.folder)).ok()
    with (
        listening(lab.app, socket.AF_INET, 15006) as proxy,
        listening(lab.app, socket.AF_INET, PORT) as server,
        in_folder(inside.folder),
        listening(lab.guest, socket.AF_INET, PORT),
    ):
        assert not is_captured(lab, server, proxy)


def test_one_that_listened_before_in_another_network_namespace(lab: Lab, inside: CgroupFolder) -> None:
    with in_folder(inside.folder), listening(lab.guest, socket.AF_INET, PORT):
        lab.tidegate("init", "--mode", "ebpf", "--cgroup", str(inside.folder)).ok()
        with (
            in_folder(lab.cgroup.folder),
            listening(lab.app, socket.AF_INET, PORT) as server,
            listening(lab.app, socket.AF_INET, 15006) as proxy,
        ):
            assert not is_captured(lab, server, proxy)


def test_a_listener_of_a_process_that_we_may_not_look_into(lab: Lab, inside: CgroupFolder) -> None:
    """With exactly the documented capabilities, CAP_SYS_PTRACE is not among them."""
    with in_folder(inside.folder), listening(lab.app, socket.AF_INET, PORT):
        names = CAPABILITIES["ebpf"].split(",")
        lab.tidegate_binary("init", "--mode", "ebpf", "--cgroup", str(inside.folder), prefix=holding(names)).ok()
        with in_folder(lab.cgroup.folder), listening(lab.app, socket.AF_INET, 15006) as proxy:
            assert is_captured(lab, None, proxy)


@pytest.mark.parametrize("host", ["127.{}.{}.{}", "0.0.0.0"], ids=["loopback", "any address"])
def test_more_listeners_than_places(lab: Lab, inside: CgroupFolder, host: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 1000), max(hard, MANY + 1000)))
    lab.tidegate("init", "--mode", "ebpf", "--cgroup", str(inside.folder)).ok()
    try:
        with contextlib.ExitStack() as held, listening(lab.app, socket.AF_INET, 15006) as proxy:
            with in_folder(inside.folder):
                with lab.app.entered():
                    for n in range(MANY):
                        one = held.enter_context(socket.socket())
                        loopback = "{" in host
                        one.bind((host.format(1, n >> 8, n & 255), PORT if loopback else 20_000 + n))
                        one.listen(1)
                held.enter_context(listening(lab.app, socket.AF_INET, PORT, APP[socket.AF_INET]))
            assert is_captured(lab, None, proxy)
            assert not [one for one in lab.tidegate("status", "--json").json["not_captured"] if "no place" in one]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.takes(6)
def test_a_program_that_takes_every_place_takes_nobody_elses(lab: Lab, inside: CgroupFolder) -> None:
    """All places for sockets, and all for addresses and ports (those written here, to spare 65,536 sockets)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 1000), max(hard, MANY + 1000)))
    lab.tidegate("init", "--mode", "ebpf", "--cgroup", str(inside.folder)).ok()
    by_port = libbpf.get_pinned(folder(lab.app) / "maps" / "tg_workload_ports")
    try:
        for n in range(1 << 16):
            libbpf.map_update(by_port, bytes(15) + b"\x07" + struct.pack("=HH", n, layout.TOLD_BY_HOOK), layout.ONE)
        with contextlib.ExitStack() as held, listening(lab.app, socket.AF_INET, 15006) as proxy:
            with in_folder(inside.folder):
                with lab.app.entered():
                    for n in range(MANY):
                        one = held.enter_context(socket.socket())
                        one.bind(("0.0.0.0", 20_000 + n))
                        one.listen(1)
                with listening(lab.app, socket.AF_INET, PORT, APP[socket.AF_INET]):
                    assert is_captured(lab, None, proxy)
                    told = lab.tidegate("status", "--json").json["not_captured"]
                    assert [one for one in told if "no place was left" in one], told
            with listening(lab.app, socket.AF_INET, PORT) as outside:
                assert not is_captured(lab, outside, proxy), "the port still counts as the cgroup's"
    finally:
        os.close(by_port)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_full_maps_do_not_keep_init_from_working(lab: Lab, inside: CgroupFolder) -> None:
    """Listeners from before, of a process that we may not look into: they are kept by port, and no place is left."""
    lab.tidegate("init", "--mode", "ebpf", "--cgroup", str(inside.folder)).ok()
    by_port = libbpf.get_pinned(folder(lab.app) / "maps" / "tg_workload_ports")
    try:
        for n in range(1 << 16):
            libbpf.map_update(by_port, bytes(15) + b"\x07" + struct.pack("=HH", n, layout.TOLD_BY_HOOK), layout.ONE)
        with in_folder(inside.folder), contextlib.ExitStack() as held:
            for _ in range(layout.SHARERS + 1):  # one more than there are places for sockets at one address
                one = held.enter_context(made_in(lab.app, socket.AF_INET))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                one.bind(("", PORT))
                one.listen(1)
            lab.tidegate("init", "--mode", "ebpf", "--cgroup", str(inside.folder), "--exclude-inbound-ports", "1").ok()
            with in_folder(lab.cgroup.folder), listening(lab.app, socket.AF_INET, 15006) as proxy:
                assert is_captured(lab, None, proxy)
    finally:
        os.close(by_port)
