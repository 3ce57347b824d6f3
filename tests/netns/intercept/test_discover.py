"""`tidegate discover`: real bcc, real callers, and nothing left in the kernel, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab, bpf_links
from tests.lab.actor import Identity
from tests.lab.namespaces import Namespace
from tests.lab.patience import patient
from tests.netns.proxy.proxy_rig import PEER_V4, Server, dial, echo

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[3]
PORT = 12440


class Discover:
    """The command in a namespace, from when it looks."""

    def __init__(self, where: Namespace, *flags: str) -> None:
        argv = [sys.executable, "-P", "-m", "tidegate", "discover", "--json", "--duration", "60", *flags]
        self.process = where.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert line.startswith("looking"), line + self.process.stderr.read()

    def calls(self) -> list[dict[str, Any]]:
        """End it as Ctrl-C does; what it saw."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, err
        told = json.loads(out)
        assert told["lost"] == 0
        return list(told["calls"])

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def discover(lab: Lab) -> Iterator[Discover]:
    running = Discover(lab.app)
    try:
        yield running
    finally:
        running.end()


def links_of(pid: int) -> set[int]:
    told = "".join(info.read_text() for info in Path(f"/proc/{pid}/fdinfo").iterdir())
    return {int(number) for number in re.findall(r"^link_id:\s*(\d+)$", told, re.MULTILINE)}


def links() -> set[int]:
    return {link["id"] for link in bpf_links.every()}


def here(calls: list[dict[str, Any]], destination: str) -> dict[str, Any]:
    (found,) = [call for call in calls if call["destination"] == destination]
    return found


def test_who_calls_whom(lab: Lab, discover: Discover) -> None:
    workload = lab.actor(Identity(1000, 1000))
    for _ in range(3):
        workload.tcp("10.0.0.1", 80)
    workload.tcp("fd00::1", 443)
    with lab.app.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"?", ("10.0.0.1", 5353))
        datagrams.connect(("10.0.0.1", 4433))
    lab.actor(namespace=lab.peer).tcp("10.0.0.2", 8080)
    calls = discover.calls()
    http = here(calls, "10.0.0.1:80")
    assert (http["calls"], http["uid"], http["protocol"]) == (3, 1000, "tcp")
    assert http["decision"] == "capture", "what init's defaults would do"
    assert not http["in_force"]
    assert here(calls, "[fd00::1]:443")["decision"] == "capture"
    for destination in ("10.0.0.1:5353", "10.0.0.1:4433"):
        assert (here(calls, destination)["protocol"], here(calls, destination)["decision"]) == ("udp", "direct")
    assert not [call for call in calls if call["destination"] == "10.0.0.2:8080"], "another namespace's call"


def test_beside_capture_it_tells_what_is_in_force(lab: Lab) -> None:
    """What netfilter redirects, it does after the call was made: the caller's own destination is seen."""
    lab.tidegate("init", "--mode", "nftables", "--exclude-outbound-ports", "443").ok()
    running = Discover(lab.app)
    try:
        workload = lab.actor(Identity(1000, 1000))
        for port in (80, 443):
            workload.tcp("10.0.0.1", port)
        calls = running.calls()
    finally:
        running.end()
        lab.tidegate("cleanup").ok()
    assert all(call["in_force"] for call in calls)
    assert here(calls, "10.0.0.1:80")["decision"] == "capture"
    assert here(calls, "10.0.0.1:443")["rule"] == "exclude-outbound-ports"


def test_only_one_process(lab: Lab) -> None:
    script = """
import socket, sys
for line in sys.stdin:
    socket.socket().connect_ex(("10.0.0.1", int(line)))
    print(1, flush=True)
"""
    one, other = (
        lab.app.popen(["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in "12"
    )
    try:
        running = Discover(lab.app, "--pid", str(one.pid))
        try:
            for caller, port in ((one, 80), (other, 443)):
                assert caller.stdin is not None
                assert caller.stdout is not None
                caller.stdin.write(f"{port}\n")
                caller.stdin.flush()
                caller.stdout.readline()
            assert [call["destination"] for call in running.calls()] == ["10.0.0.1:80"]
        finally:
            running.end()
    finally:
        for caller in (one, other):
            caller.kill()
            caller.communicate()


def test_killed_it_leaves_nothing(discover: Discover) -> None:
    mine = links_of(discover.process.pid)
    assert len(mine) == 7
    discover.process.kill()
    discover.process.wait(10)
    # The kernel lets go of them a moment after their last holder's end.
    deadline = time.monotonic() + patient(5)
    while left := mine & links():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


HIDDEN = (
    "import sys; sys.modules['bcc'] = None; sys.argv[0] = 'tidegate'; from tidegate.cli import main; main(sys.argv[1:])"
)


def test_without_bcc_it_polls_and_says_what_that_loses(lab: Lab) -> None:
    argv = [sys.executable, "-c", HIDDEN, "discover", "--json", "--duration", "30"]
    process = lab.app.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stderr is not None
    told = process.stderr.readline()
    assert "polled" in told
    assert "python3-bpfcc" in told
    with Server(lab.peer, PEER_V4, PORT, echo), dial(lab.app, PEER_V4, PORT) as client:
        client.sendall(b"x" * 1000)
        assert len(client.recv(1000, socket.MSG_WAITALL)) == 1000
        time.sleep(patient(1))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert len(json.loads(out)["not_seen"]) == 3
    row = here(json.loads(out)["calls"], f"{PEER_V4}:{PORT}")
    assert (row["calls"], row["open"], row["bytes_sent"], row["bytes_received"]) == (1, 1, 1000, 1000)
    assert row["pid"] == os.getpid()


def test_other_namespaces_cannot_be_polled(lab: Lab) -> None:
    ran = lab.app.run([sys.executable, "-c", HIDDEN, "discover", "--duration", "1", "--everywhere"], check=False)
    assert ran.returncode == 3
    assert "python3-bpfcc" in ran.stderr


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--pid", "0"), "--pid"),
        (("--pid", "x"), "--pid"),
        (("--duration", "-1"), "--duration"),
        (("--cgroup", "../up"), "--cgroup"),
        (("--cgroup", "no/such/folder"), "--cgroup"),
        (("--unit", "nosuch.service"), "--unit"),
        (("--write", "/no/such/folder"), "--write"),
    ],
)
def test_bad_input_is_named(lab: Lab, flags: tuple[str, str], named: str) -> None:
    ran = lab.tidegate("discover", *flags).ended(2)
    assert named in ran.err
    assert flags[1] in ran.err
