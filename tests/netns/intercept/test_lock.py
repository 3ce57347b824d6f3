"""One change of capture at a time, and no workload that could stop the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from intercept import lock
from tests.lab import Lab
from tests.lab.patience import patient

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[3]
AS_WORKLOAD = "import os; os.setgroups([]); os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000)\n"
TELL_AND_WAIT = "print('ready', flush=True); import time; time.sleep(60)\n"
FLOCK = AS_WORKLOAD + (
    "import fcntl; held = open('/proc/self/ns/net'); fcntl.flock(held, fcntl.LOCK_EX)\n" + TELL_AND_WAIT
)
DECOYS = AS_WORKLOAD + (
    "import socket\n"
    "held = []\n"
    "for i in range(500):\n"
    "    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.bind((f'127.84.{i % 250}.{i // 250}', 0))\n"
    "    held.append(one)\n"
    "try:\n"
    "    one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x74676C6B); raise SystemExit('a workload may set marks')\n"
    "except PermissionError: pass\n" + TELL_AND_WAIT
)
HOLD = "from intercept.lock import changing_capture\nwith changing_capture(5):\n    " + TELL_AND_WAIT
TURNS = """
import os, sys, time
from intercept.lock import changing_capture
for _ in range(15):
    with changing_capture(60):
        fd = os.open(sys.argv[1], os.O_CREAT | os.O_EXCL)  # fails when another process is within
        time.sleep(0.002)
        os.close(fd)
        os.unlink(sys.argv[1])
"""


def start(lab: Lab, code: str, *argv: str) -> subprocess.Popen[str]:
    command = ["nsenter", f"--net={lab.app.path}", sys.executable, "-c", code, *argv]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@contextmanager
def running(lab: Lab, code: str) -> Iterator[subprocess.Popen[str]]:
    process = start(lab, code)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.parametrize("code", [FLOCK, DECOYS], ids=["flock on the namespace", "sockets on our addresses"])
def test_a_workload_cannot_stop_init_and_cleanup(lab: Lab, code: str) -> None:
    with running(lab, code):
        began = time.monotonic()
        lab.tidegate("init", "--mode", "nftables", "--wait", "1").ok()
        lab.tidegate("cleanup", "--wait", "1").ok()
        assert time.monotonic() - began < patient(10), "it was waited for"
    assert lab.tidegate("status", "--json").ok().json["active"] is False


EVERYTHING = AS_WORKLOAD + (
    "import fcntl, os\n"
    "held = []\n"
    "for top in ('/sys/fs/bpf', '/run', '/var/run', '/run/netns', '/proc/self/ns', '/sys/fs/cgroup'):\n"
    "    for at, folders, files in os.walk(top):\n"
    "        folders[:] = folders[:50] if at.count('/') < 6 else []\n"
    "        for name in (at, *(os.path.join(at, one) for one in files[:200])):\n"
    "            try:\n"
    "                fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK)\n"
    "                held.append(fd)\n"
    "                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    "            except OSError: pass\n"
    "            if len(held) > 800: break\n"
    "assert held\n"
)


@pytest.mark.parametrize("mode", ["nftables", "iptables", "tproxy", "ebpf"])
def test_whatever_a_workload_can_lock_stops_nothing(lab: Lab, mode: str) -> None:
    """Every file and folder that it can open where ours could be, while capture is in force, is locked by it."""
    lab.tidegate("init", "--mode", mode).ok()
    try:
        with running(lab, EVERYTHING + TELL_AND_WAIT):
            lab.tidegate("init", "--mode", mode, "--exclude-outbound-ports", "9", "--wait", "2").ok()
            lab.tidegate("cleanup", "--wait", "2").ok()
    finally:
        lab.tidegate("cleanup").ok()


def test_another_command_is_waited_for_and_named(lab: Lab) -> None:
    before = lab.snapshot()
    with running(lab, HOLD) as holder:
        began = time.monotonic()
        refused = lab.tidegate("init", "--mode", "nftables", "--wait", "0.5").ended(1)
        assert 0.5 <= time.monotonic() - began < patient(3.0)
        assert "another tidegate command" in refused.err
        assert "--wait" in refused.err
        assert lab.changes_since(before) == ""
        os.kill(holder.pid, signal.SIGKILL)  # a lock must end with its holder
        lab.tidegate("init", "--mode", "nftables").ok()
    lab.tidegate("cleanup").ok()


def test_only_one_is_within(lab: Lab, tmp_path: Path) -> None:
    within = str(tmp_path / "within")
    processes = [start(lab, TURNS, within) for _ in range(6)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 6
    assert not os.path.exists(within)


def test_the_same_where_the_kernel_cannot_be_asked_for_marks(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the owner in /proc/net/udp then."""

    def unsupported(*_: object) -> list[object]:
        raise lock.Unsupported("no udp_diag")

    monkeypatch.setattr(lock, "dump", unsupported)
    with running(lab, DECOYS), lab.app.entered(), lock.changing_capture(1):
        pass
    with running(lab, HOLD), lab.app.entered(), pytest.raises(lock.CaptureError), lock.changing_capture(0.2):
        pass
