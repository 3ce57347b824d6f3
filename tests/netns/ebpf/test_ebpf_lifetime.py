"""How long things live: entries of connections, links of a holder, state across a replacement, folders of the dead."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cext.libbpf import libbpf
from tests.lab import Lab
from tests.netns.ebpf.ebpf_support import APP, entries, folder, listening, made_in, original

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[3]
REFUSED = 80_000
ACCEPTED = 20_000
HOLDER = """
import sys
from intercept import capture
from intercept.intent.intent import Intent, Mode
with capture.bind(Intent(mode=Mode.EBPF), name="tidegate_run_test"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def captured(lab: Lab) -> Iterator[None]:
    lab.tidegate("init", "--mode", "ebpf").ok()
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


def reset(one: socket.socket) -> None:
    """Close without TIME_WAIT, so that a hundred thousand do not run out of ports."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def steered(lab: Lab) -> tuple[socket.socket, socket.socket]:
    """A captured connection's two ends."""
    with listening(lab.app, socket.AF_INET, 15001) as listener:
        client = made_in(lab.app, socket.AF_INET)
        client.connect(("10.0.0.1", 80))
        return client, listener.accept()[0]


@pytest.mark.soak
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("captured")
def test_a_hundred_thousand_connections_leave_the_maps_as_they_were(lab: Lab) -> None:
    with lab.app.entered():
        for _ in range(REFUSED):
            with socket.socket() as client:
                assert client.connect_ex(("10.0.0.1", 80)) != 0
    assert entries(lab.app, "tg_pending") == 0
    with listening(lab.app, socket.AF_INET, 15001) as listener:

        def accept() -> None:
            for _ in range(ACCEPTED):
                reset(listener.accept()[0])

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        with lab.app.entered():
            for _ in range(ACCEPTED):
                client = socket.socket()
                # Accepted and reset by the other side before we were woken: a connection all the same.
                with contextlib.suppress(ConnectionResetError):
                    client.connect(("10.0.0.1", 80))
                reset(client)
        acceptor.join(60)
        assert not acceptor.is_alive()
    for name in ("tg_pending", "tg_inbound", "tg_workload"):
        assert entries(lab.app, name) == 0


@pytest.mark.usefixtures("captured")
def test_connections_that_are_never_accepted_leave_nothing(lab: Lab) -> None:
    """The accept queue is full, so some of these are established for the client and for nobody else."""
    with made_in(lab.app, socket.AF_INET) as listener:
        listener.bind(("", 15001))
        listener.listen(1)
        clients = [made_in(lab.app, socket.AF_INET) for _ in range(20)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(("10.0.0.1", 80))
        time.sleep(0.2)
        assert entries(lab.app, "tg_pending") > 0
        for client in clients:
            reset(client)
    deadline = time.monotonic() + 5
    while entries(lab.app, "tg_pending") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert entries(lab.app, "tg_pending") == 0


@pytest.mark.usefixtures("captured")
def test_a_replacement_keeps_what_live_connections_need(lab: Lab) -> None:
    client, accepted = steered(lab)
    with client, accepted:
        lab.tidegate("init", "--mode", "ebpf", "--exclude-outbound-ports", "22", "--dns", "all").ok()
        assert client.getpeername() == ("10.0.0.1", 80)
        assert original(accepted, socket.AF_INET) == ("10.0.0.1", 80)
        # Also where the programs themselves have to be loaded anew.
        (folder(lab.app) / "links" / "sockops").unlink()
        status = lab.tidegate("status", "--json")
        assert status.code == 1
        assert json.loads(status.out)["drift"] == ["hook sockops is gone"]
        lab.tidegate("init", "--mode", "ebpf", "--exclude-outbound-ports", "22", "--dns", "all").ok()
        assert client.getpeername() == ("10.0.0.1", 80)
        assert original(accepted, socket.AF_INET) == ("10.0.0.1", 80)
        assert lab.tidegate("status", "--json").code == 0
    again, at_proxy = steered(lab)
    again.close()
    at_proxy.close()


@pytest.mark.usefixtures("captured")
def test_a_replaced_program_is_drift(lab: Lab) -> None:
    where = folder(lab.app) / "links"
    four, six = (libbpf.get_pinned(where / name) for name in ("getpeername4", "connect4"))
    fd = libbpf.get_pinned(where / "connect6")
    try:
        # connect4's link given another program of the kind, as a stranger with the privilege could do.
        before = libbpf.link_info(six).program_id
        with libbpf.Object(objects() / "connect.bpf.o") as other:
            other.set_rodata(struct.pack("=I", 0))
            other.load()
            program = other.program_fd("connect4")
            libbpf.link_update(six, program)
            os.close(program)
        assert libbpf.link_info(six).program_id != before
    finally:
        for each in (four, six, fd):
            os.close(each)
    status = lab.tidegate("status", "--json")
    assert status.code == 1
    assert json.loads(status.out)["drift"] == ["the program of hook connect4 was replaced by another"]
    lab.tidegate("init", "--mode", "ebpf").ok()
    assert lab.tidegate("status", "--json").code == 0


def objects() -> Path:
    from bpf.loader import OBJECTS

    return OBJECTS


@pytest.mark.usefixtures("captured")
def test_new_addresses_are_told_and_learnt(lab: Lab) -> None:
    lab.app.run(["ip", "addr", "add", "10.0.0.77/32", "dev", "lo"])
    try:
        status = lab.tidegate("status", "--json")
        assert status.code == 1
        assert "addresses have changed" in json.loads(status.out)["drift"][0]
        lab.tidegate("init", "--mode", "ebpf").ok()
        assert lab.tidegate("status", "--json").code == 0
        with listening(lab.app, socket.AF_INET, 15001), made_in(lab.app, socket.AF_INET) as client:
            assert client.connect_ex(("10.0.0.77", 15001)) == errno.ECONNREFUSED
    finally:
        lab.app.run(["ip", "addr", "del", "10.0.0.77/32", "dev", "lo"])


def test_a_holder_that_is_killed_leaves_nothing(lab: Lab) -> None:
    # As a child that entered the namespace, not through the lab's own command line: it has to die by SIGKILL.
    holder = lab.app.popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with made_in(lab.app, socket.AF_INET) as client:
            assert client.connect_ex(("10.0.0.1", 80)) != 0
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    finally:
        holder.kill()
        holder.wait(10)
        for pipe in (holder.stdin, holder.stdout):
            assert pipe is not None
            pipe.close()
    deadline = time.monotonic() + 5
    while True:
        with made_in(lab.app, socket.AF_INET) as client:
            if client.connect_ex(("10.0.0.1", 80)) == 0:
                return
        assert time.monotonic() < deadline, "still captured 5 s after its holder's death"
        time.sleep(0.05)


def test_two_namespaces_do_not_see_each_other(lab: Lab) -> None:
    """Their hooks hang on the same cgroup, and both have the same addresses and ports."""
    other = Lab()
    try:
        for each in (lab, other):
            each.tidegate("init", "--mode", "ebpf").ok()
        for each, port in ((lab, 80), (other, 443)):
            with listening(each.app, socket.AF_INET, 15001) as listener, made_in(each.app, socket.AF_INET) as client:
                client.connect(("10.0.0.1", port))
                accepted, _ = listener.accept()
                with accepted:
                    assert original(accepted, socket.AF_INET) == ("10.0.0.1", port)
        other.tidegate("cleanup").ok()
        with made_in(other.app, socket.AF_INET) as client:
            client.connect(("10.0.0.1", 80))
        with made_in(lab.app, socket.AF_INET) as client:
            assert client.connect_ex(("10.0.0.1", 80)) != 0
    finally:
        other.close()
        lab.tidegate("cleanup").ok()


def test_folders_of_dead_namespaces_are_swept(lab: Lab) -> None:
    other = Lab()
    try:
        other.tidegate("init", "--mode", "ebpf").ok()
        left = folder(other.app)
        assert left.is_dir()
    finally:
        other.close()
    lab.tidegate("init", "--mode", "ebpf").ok()
    lab.tidegate("cleanup").ok()
    assert not left.exists()


class TestListeners:
    """Who gets arriving connections."""

    @pytest.mark.usefixtures("captured")
    def test_a_proxy_that_begins_later_is_known_by_itself(self, lab: Lab) -> None:
        for _ in range(2):
            with listening(lab.app, socket.AF_INET, 15006) as listener:
                assert entries(lab.app, "tg_inbound") == 1
                self._arrives(lab, listener)
            assert entries(lab.app, "tg_inbound") == 0

    def test_a_proxy_that_was_there_before_is_found(self, lab: Lab) -> None:
        with listening(lab.app, socket.AF_INET, 15006) as listener:
            lab.tidegate("init", "--mode", "ebpf").ok()
            try:
                assert entries(lab.app, "tg_inbound") == 1
                self._arrives(lab, listener)
                lab.tidegate("adopt", "--pid", str(os.getpid())).ok()
                assert entries(lab.app, "tg_inbound") == 1, "registered twice"
            finally:
                lab.tidegate("cleanup").ok()

    @pytest.mark.usefixtures("captured")
    def test_after_the_inbound_port_changes_the_old_listener_gets_nothing(self, lab: Lab) -> None:
        with listening(lab.app, socket.AF_INET, 15006), listening(lab.app, socket.AF_INET, 16006) as new:
            lab.tidegate("init", "--mode", "ebpf", "--inbound-port", "16006").ok()
            self._arrives(lab, new)

    def test_listeners_of_a_cgroup_from_before_and_after(self, lab: Lab) -> None:
        inside = lab.cgroup.child("servers")
        home = _own_cgroup()
        early, late, outside = 7101, 7102, 7103
        with listening(lab.app, socket.AF_INET, outside), listening(lab.app, socket.AF_INET, 15006) as proxy:
            (inside.folder / "cgroup.procs").write_text(str(os.getpid()))
            try:
                with listening(lab.app, socket.AF_INET, early):
                    # Ours are this process' sockets, made before and after it moved: only the later is the cgroup's.
                    lab.tidegate("init", "--mode", "ebpf", "--cgroup", str(inside.folder)).ok()
                    with listening(lab.app, socket.AF_INET, late):
                        (home / "cgroup.procs").write_text(str(os.getpid()))
                        for port in (early, late):
                            self._arrives(lab, proxy, port)
            finally:
                (home / "cgroup.procs").write_text(str(os.getpid()))
                lab.tidegate("cleanup").ok()

    @staticmethod
    def _arrives(lab: Lab, listener: socket.socket, port: int = 8080) -> None:
        with made_in(lab.peer, socket.AF_INET) as client:
            client.connect((APP[socket.AF_INET], port))
            accepted, peer = listener.accept()
            with accepted:
                assert peer == client.getsockname()
                assert original(accepted, socket.AF_INET) == (APP[socket.AF_INET], port)


def _own_cgroup() -> Path:
    from intercept.host.cgroups import own_folder

    return own_folder()
