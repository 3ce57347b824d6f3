"""Nothing half-works silently: each listener in scope is captured, or `init`, `status` and `explain` name it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.lab import Lab
from tests.lab.cgroup_folder import CgroupFolder
from tests.lab.lab import ROOT_USER
from tests.lab.third_party_proxy import ProxyOptions

pytestmark = pytest.mark.kernel

IPPROTO_MPTCP = 262
HOSTS = {4: "10.0.0.2", 6: "fd00::2"}
NO_PTRACE = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all", "--")


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    lab.tidegate("cleanup").ok()  # what runs commands is started outside of the namespace
    try:
        yield
    finally:
        lab.tidegate("cleanup").ok()


@contextmanager
def listening(lab: Lab, port: int, address: str, protocol: int) -> Iterator[None]:
    """In the namespace, in this process's cgroup."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with lab.app.entered(), socket.socket(family, socket.SOCK_STREAM, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        yield


def captured(lab: Lab, version: int, port: int) -> bool:
    return lab.actor(ROOT_USER, lab.peer).tcp(HOSTS[version], port, timeout=1.0).who == "proxy"


def judge(lab: Lab, applied: list[str] | None, version: int, port: int) -> str | None:
    """None: the invariant holds for connections of this IP version to this port."""
    destination = f"10.0.0.2:{port}" if version == 4 else f"[fd00::2]:{port}"
    asked = ("explain", "inbound", "--dst", destination, "--src", "10.0.0.1" if version == 4 else "fd00::1", "--json")
    decision = lab.tidegate(*asked).ok().json["decision"]
    said = lab.tidegate("status", "--json").ok().json["not_captured"]
    if captured(lab, version, port):
        return None if decision == "capture" else f"IPv{version} port {port} is captured, and explain says {decision}"
    wrong = []
    if decision == "capture":
        wrong.append("explain says captured")
    for who, sentences in (("init", applied), ("status", said)):
        if sentences is not None and not any(str(port) in one or one.startswith("inbound") for one in sentences):
            wrong.append(f"{who} does not name it: {sentences}")
    return f"IPv{version} port {port} is not captured, and {'; '.join(wrong)}" if wrong else None


@pytest.mark.parametrize("protocol", [0, IPPROTO_MPTCP], ids=["tcp", "mptcp"])
@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.2"])
def test_listeners_of_the_whole_namespace(lab: Lab, backend: str, address: str, protocol: int) -> None:
    with listening(lab, 7171, address, protocol):
        applied = lab.tidegate("init", "--mode", backend, "--json").ok().json["not_captured"]
        with lab.proxy(ProxyOptions(transparent=backend == "tproxy")) as proxy:
            lab.adopt(backend, proxy)
            versions = (4,) if address == "10.0.0.2" else (4, 6)
            wrong = [one for version in versions if (one := judge(lab, applied, version, 7171))]
    assert not wrong, "\n".join(wrong)


LISTEN_AS_WORKLOAD = """
import os, signal, socket, sys
folder, port, protocol = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
open(f"{folder}/cgroup.procs", "w").write("0")
os.setgroups([]); os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000)
listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, protocol)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("::", port)); listener.listen()
print("listening", flush=True)
while True:
    listener.accept()[0].close()
"""


@contextmanager
def workload(lab: Lab, folder: CgroupFolder, port: int, protocol: int) -> Iterator[None]:
    """Another user's process in the folder listens on the port, over both IP versions."""
    argv = [sys.executable, "-c", LISTEN_AS_WORKLOAD, str(folder.folder), str(port), str(protocol)]
    process = subprocess.Popen(["nsenter", f"--net={lab.app.path}", *argv], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("protocol", [0, IPPROTO_MPTCP], ids=["tcp", "mptcp"])
@pytest.mark.parametrize("privilege", [(), NO_PTRACE], ids=["root", "no CAP_SYS_PTRACE"])
@pytest.mark.parametrize("when", ["before init", "after init"])
def test_listeners_of_a_cgroup(lab: Lab, backend: str, *, when: str, privilege: tuple[str, ...], protocol: int) -> None:
    """Of another user, whose sockets only CAP_SYS_PTRACE may take."""
    folder = lab.cgroup.child(f"{backend}-{when.split(maxsplit=1)[0]}-{len(privilege)}-{protocol}")
    init = ("init", "--mode", backend, "--cgroup", folder.path, "--json")
    with ExitStack() as stack:
        if when == "before init":
            stack.enter_context(workload(lab, folder, 7272, protocol))
        ran = lab.tidegate_binary(*init, prefix=privilege)
        if ran.code in (3, 4):
            assert ran.err, "refused without a word"
            return
        applied = ran.ok().json["not_captured"]
        if when == "after init":
            stack.enter_context(workload(lab, folder, 7272, protocol))
        proxy = stack.enter_context(lab.proxy(ProxyOptions(transparent=backend == "tproxy")))
        lab.adopt(backend, proxy)
        # What came after init, init cannot name.
        told = applied if when == "before init" else None
        wrong = [one for version in (4, 6) if (one := judge(lab, told, version, 7272))]
    assert not wrong, "\n".join(wrong)
