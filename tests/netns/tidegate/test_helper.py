"""`init --helper`: what a proxy that was never root gets through it, in which order, and who else gets nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.beside import COMPANION, WARDEN, beside, has_name, status_of
from tests.lab.command_line import BINARY
from tests.lab.lab import ROOT_USER
from tests.netns.proxy.config_rig import ONE, VIP, ask, file, says, web
from tests.netns.proxy.proxy_rig import PEER_V4, ProxyProcess, Server, until
from tests.netns.tidegate.pod import UNPRIVILEGED

pytestmark = [pytest.mark.kernel, pytest.mark.takes(6)]
__all__ = ["file"]
HELPER = "tidegate-helper"


@pytest.fixture(autouse=True)
def cleaned(lab: Lab) -> Iterator[None]:
    lab.serve_app()
    yield
    lab.tidegate("cleanup").ok()
    until(lambda: helpers(lab) == [], "every helper to end")


@pytest.fixture
def server(lab: Lab) -> Iterator[None]:
    with Server(lab.peer, PEER_V4, ONE, says(b"1")):
        yield


def helpers(lab: Lab) -> list[int]:
    return [pid for pid in lab.app.processes() if has_name(pid, HELPER)]


def leave(lab: Lab, mode: str, *flags: str) -> int:
    lab.tidegate("init", "--mode", mode, "--helper", "leave", *flags).ok()
    (pid,) = helpers(lab)
    return pid


def ready(proxy: ProxyProcess) -> bool:
    return bool(proxy.request("/healthz/ready")[0] == 200)


def why(proxy: ProxyProcess) -> str:
    return str(proxy.request("/healthz/ready")[1])


@contextlib.contextmanager
def rootless(lab: Lab, *flags: str) -> Iterator[ProxyProcess]:
    with ProxyProcess(lab, *flags, prefix=UNPRIVILEGED) as proxy:
        yield proxy


@pytest.mark.usefixtures("server")
def test_the_direct_lane_of_a_proxy_without_any_right(lab: Lab, file: Path) -> None:
    leave(lab, "ebpf")
    file.write_text(web(ONE))
    with rootless(lab, "--config", str(file), "--log-format", "json") as proxy:
        until(lambda: ready(proxy), "readiness")
        assert [ask(lab) for _ in range(3)] == [b"1"] * 3
        lines = until(lambda: len(found := proxy.access_log()) >= 3 and found, "the kernel's records")
        assert {(line["lane"], line["original_destination"]) for line in lines} == {("direct", f"{VIP}:80")}
        status = status_of(proxy.pid)
        assert {status[key] for key in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert status["Uid"].split() == ["1337"] * 4
        proxy.process.kill()
        proxy.process.wait()
        # The kernel goes on with what it was told, as beside a proxy that was root.
        assert ask(lab) == b"1"


@pytest.mark.takes(12)
def test_readiness_through_capture(lab: Lab, backend: str) -> None:
    helper = leave(lab, backend)
    with rootless(lab) as proxy:
        until(lambda: beside(helper, COMPANION), "a companion")
        until(lambda: ready(proxy), "readiness")
        if backend == "tproxy":  # the companion makes the listener transparent, which the proxy may not
            caller = lab.actor(ROOT_USER, lab.peer)
            until(lambda: caller.tcp("10.0.0.2", 8080).who == "app", "inbound")
        lab.tidegate("cleanup").ok()
        until(lambda: not ready(proxy), "readiness to end with the capture")
        assert "--helper leave" in why(proxy)
        leave(lab, backend)
        until(lambda: ready(proxy), "readiness with the capture that came back")


@pytest.mark.usefixtures("server")
def test_they_may_start_in_either_order(lab: Lab, file: Path) -> None:
    file.write_text(web(ONE))
    flags = ("--config", str(file), "--log-format", "json")
    with rootless(lab, *flags, "--helper", "required") as proxy:
        assert "no helper looks after capture" in why(proxy)
        leave(lab, "ebpf")
        until(lambda: ready(proxy), "readiness")
        assert ask(lab) == b"1"  # ready means that the direct lane is filled
        until(lambda: [line["lane"] for line in proxy.access_log()] == ["direct"], "the kernel's record")
    with rootless(lab, *flags) as proxy:
        until(lambda: ready(proxy), "the next proxy")


def test_a_helper_that_was_killed_takes_all_with_it_and_is_missed(lab: Lab) -> None:
    helper = leave(lab, "nftables")
    with rootless(lab) as proxy:
        (warden,) = until(lambda: beside(helper, WARDEN), "a warden")
        (companion,) = until(lambda: beside(helper, COMPANION), "a companion")
        os.kill(helper, signal.SIGKILL)
        until(lambda: not has_name(warden, WARDEN) and not has_name(companion, COMPANION), "both to end")
        until(lambda: not ready(proxy), "readiness to end")
        assert "the helper that looked after capture has ended" in why(proxy)
        assert leave(lab, "nftables") != helper
        until(lambda: ready(proxy), "readiness with the next helper")


def test_one_helper_at_a_time_and_none_that_is_not_asked_for(lab: Lab) -> None:
    first = leave(lab, "nftables")
    assert leave(lab, "nftables") == first
    assert leave(lab, "ebpf") == first
    assert leave(lab, "ebpf", "--outbound-port", "16001") != first
    lab.tidegate("init", "--mode", "ebpf").ok()
    assert helpers(lab) == []


def test_init_stays_until_it_is_told(lab: Lab) -> None:
    for end in (lambda it: it.send_signal(signal.SIGTERM), lambda _: lab.tidegate("cleanup").ok()):
        command = [str(BINARY), "init", "--mode", "nftables", "--helper", "stay"]
        with (
            lab.app.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process,
            rootless(lab, "--helper", "required") as proxy,
        ):
            until(lambda proxy=proxy: ready(proxy), "readiness")  # type: ignore[misc]
            end(process)
            assert process.wait(10) == 0, process.stderr and process.stderr.read()
            until(lambda proxy=proxy: not ready(proxy), "readiness to end")  # type: ignore[misc]


@pytest.mark.usefixtures("server")
def test_across_pid_namespaces_as_two_containers_of_a_pod(lab: Lab, file: Path) -> None:
    """The helper is its namespace's first process, and the kernel tells it no process id of the proxy."""
    file.write_text(web(ONE))
    apart = "unshare --mount --propagation slave --pid --fork --kill-child --mount-proc"
    host = f"mount --make-shared /sys/fs/bpf; {apart} {BINARY} init --mode ebpf --helper stay; true"
    command = ["unshare", "--mount", "sh", "-euc", host]
    with lab.app.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as helper:
        try:
            flags = ("--config", str(file), "--log-format", "json", "--helper", "required")
            with rootless(lab, *flags) as proxy:
                until(lambda: ready(proxy), "readiness")
                assert ask(lab) == b"1"
                until(lambda: [line["lane"] for line in proxy.access_log()] == ["direct"], "the kernel's record")
        finally:
            os.killpg(helper.pid, signal.SIGKILL)


def test_what_cannot_be_is_refused_before_anything_is_changed(lab: Lab) -> None:
    before = lab.snapshot()
    ran = lab.tidegate("init", "--helper", "always")
    assert (ran.code, "'always'" in ran.err, "leave" in ran.err) == (2, True, True)
    first = ("unshare", "--pid", "--fork", "--mount-proc")
    ran = lab.tidegate_binary("init", "--mode", "nftables", "--helper", "leave", prefix=first)
    assert (ran.code, "--helper stay" in ran.err) == (3, True)
    lacking = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")
    ran = lab.tidegate_binary("init", "--mode", "nftables", "--helper", "leave", prefix=lacking)
    assert (ran.code, "CAP_SYS_PTRACE" in ran.err) == (4, True)
    assert lab.changes_since(before) == ""


STRANGER = """
import os, socket, sys, time
name = [line.split("@", 1)[1].strip() for line in open("/proc/net/unix") if "@tidegate-helper/15001/" in line][0]
os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000)
squatted = socket.socket(socket.AF_UNIX)
squatted.bind("\\0tidegate-helper/15001/1337/00000000")
squatted.listen(64)
for word in (b"serve", b"end", b""):
    caller = socket.socket(socket.AF_UNIX)
    caller.settimeout(5)
    caller.connect("\\0" + name)
    try:
        if word:
            caller.send(word)
        said = caller.recv(64)
    except (BrokenPipeError, ConnectionResetError):
        said = b""
    assert said == b"", said
print("up", flush=True)
sys.stdin.read()
squatted.setblocking(False)
heard = []
try:
    while True:
        heard.append(squatted.accept()[0].recv(64))
except BlockingIOError:
    print([one for one in heard if one], flush=True)
"""


def test_a_workload_gets_nothing_and_stands_in_nobodys_way(lab: Lab) -> None:
    helper = leave(lab, "nftables")
    with lab.app.popen(["python3", "-c", STRANGER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        assert stranger.stdin is not None
        assert stranger.stdout.readline() == "up\n"
        assert helpers(lab) == [helper]
        assert beside(helper, WARDEN) == []
        with rootless(lab, "--helper", "required") as proxy:
            until(lambda: ready(proxy), "readiness")
        stranger.stdin.close()
        assert stranger.stdout.read() == "[]\n", "the proxy spoke to a stranger"


GREEDY = """
import os, socket, time
name = [line.split("@", 1)[1].strip() for line in open("/proc/net/unix") if "@tidegate-helper/15001/" in line][0]
os.setresgid(1337, 1337, 1337); os.setresuid(1337, 1337, 1337)
held, until = [], time.monotonic() + 5
while time.monotonic() < until:
    caller = socket.socket(socket.AF_UNIX)
    caller.connect("\\0" + name)
    caller.send(b"serve")
    held.append(caller)
    time.sleep(0.01)
print(len(held), flush=True)
input()
"""


@pytest.mark.takes(10)
def test_a_proxy_that_was_broken_into_gets_a_few_companions_and_no_more(lab: Lab) -> None:
    from tidegate.beside.helper import MOST

    helper = leave(lab, "nftables")
    with lab.app.popen(["python3", "-c", GREEDY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as greedy:
        assert greedy.stdout is not None
        assert int(greedy.stdout.readline()) > 50
        assert len(beside(helper, WARDEN)) <= MOST
        lab.tidegate("cleanup").ok()  # it is heard in spite of that
        assert helpers(lab) == []
        greedy.kill()


def test_it_ends_when_nobody_else_is_left(lab: Lab) -> None:
    from tests.lab import namespaces
    from tests.lab.lab import zygote

    space = namespaces.create(f"{lab.name}-gone")
    try:
        zygote().run(space, ("init", "--mode", "nftables", "--helper", "leave")).ok()
        (pid,) = [pid for pid in space.processes() if has_name(pid, HELPER)]
    finally:
        space.delete()
    until(lambda: not has_name(pid, HELPER), "the helper to end", timeout=12)
