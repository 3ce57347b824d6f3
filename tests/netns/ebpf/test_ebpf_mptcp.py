"""Listeners that maps of sockets refuse: MPTCP, as Go 1.24 and newer listens by default."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.namespaces import Namespace
from tests.netns.ebpf.ebpf_support import APP, in_folder, listening, made_in, original

pytestmark = pytest.mark.kernel

IPPROTO_MPTCP = 262
PORT = 7201


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    yield
    lab.tidegate("cleanup").ok()


@contextlib.contextmanager
def mptcp_listening(namespace: Namespace, port: int) -> Iterator[socket.socket]:
    with namespace.entered():
        try:
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
        except OSError:
            pytest.skip("cannot express: a kernel without CONFIG_MPTCP")
    with one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.settimeout(5)
        one.bind(("0.0.0.0", port))
        one.listen()
        yield one


def goes_to(lab: Lab, proxy: socket.socket, port: int) -> None:
    with made_in(lab.peer, socket.AF_INET) as client:
        client.connect((APP[socket.AF_INET], port))
        accepted, _ = proxy.accept()
        with accepted:
            assert original(accepted, socket.AF_INET) == (APP[socket.AF_INET], port)


def answers(lab: Lab, server: socket.socket, port: int) -> None:
    with made_in(lab.peer, socket.AF_INET) as client:
        client.connect((APP[socket.AF_INET], port))
        server.accept()[0].close()


def test_a_workload_that_begins_to_listen(lab: Lab) -> None:
    inside = lab.cgroup.child("mptcp")
    lab.tidegate("init", "--mode", "ebpf", "--cgroup", str(inside.folder)).ok()
    with listening(lab.app, socket.AF_INET, 15006) as proxy:
        with in_folder(inside.folder), mptcp_listening(lab.app, PORT):
            goes_to(lab, proxy, PORT)
        # Its port is no longer the cgroup's: another's service there is left alone.
        with listening(lab.app, socket.AF_INET, PORT) as server:
            answers(lab, server, PORT)


def test_a_workload_that_listens_already(lab: Lab) -> None:
    inside = lab.cgroup.child("mptcp-early")
    with listening(lab.app, socket.AF_INET, 15006) as proxy:
        with in_folder(inside.folder), mptcp_listening(lab.app, PORT):
            lab.tidegate("init", "--mode", "ebpf", "--cgroup", str(inside.folder)).ok()
            goes_to(lab, proxy, PORT)
        with lab.app.entered():
            from intercept.backends.ebpf import backend

            backend.refresh_addresses()
        with listening(lab.app, socket.AF_INET, PORT) as server:
            answers(lab, server, PORT)


def test_a_proxy_that_listens_already_is_refused_by_init(lab: Lab) -> None:
    with mptcp_listening(lab.app, 15006):
        refused = lab.tidegate("init", "--mode", "ebpf").ended(3)
    assert "MPTCP" in refused.err
    assert not lab.tidegate("status", "--json").ok().json["active"]


def test_a_proxy_that_begins_later_is_told_and_not_adopted(lab: Lab) -> None:
    import os

    lab.tidegate("init", "--mode", "ebpf").ok()
    assert not [one for one in lab.tidegate("status", "--json").json["not_captured"] if "MPTCP" in one]
    with mptcp_listening(lab.app, 15006):
        assert [one for one in lab.tidegate("status", "--json").json["not_captured"] if "MPTCP" in one]
        assert "MPTCP" in lab.tidegate("adopt", "--pid", str(os.getpid())).ended(3).err
