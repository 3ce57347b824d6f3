"""Processes that are confined as the proxy, the keeper and the companion are try what those must not be able to do.

Each attempt is made for real by a child process, for a filter may end it.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.lab import Lab

pytestmark = pytest.mark.kernel

COMMON = """
import os, signal, socket, sys
import ctypes
from pathlib import Path
from intercept.backends.nftables import session
from intercept.intent.intent import Mode
from proxy.start import calls, privileges as own, seccomp
from tidegate.beside import calls as beside, keeper, privileges

def confine(who):
    if who == "proxy":
        own.become(1337, 1337, mark=None)
        seccomp.install(calls.PROXY)
    elif who == "keeper":
        assert privileges.confine(keeper.CAPABILITIES[Mode.NFTABLES], beside.KEEPER) is None
    else:
        assert privileges.confine(privileges.COMPANION, beside.CAPTURE) is None

libc = ctypes.CDLL(None, use_errno=True)
other = int(sys.argv[2])

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")

def write(path):
    fd = os.open(path, os.O_WRONLY)
    os.close(fd)

ATTEMPTS = {
    "read a password": lambda: Path("/etc/shadow").read_bytes(),
    "list root's folder": lambda: os.listdir("/root"),
    "read another's environment": lambda: Path("/proc/1/environ").read_bytes(),
    "read another's memory": lambda: os.open(f"/proc/{other}/mem", os.O_RDONLY),
    "see another's descriptors": lambda: os.listdir(f"/proc/{other}/fd"),
    "see another's namespace": lambda: os.readlink(f"/proc/{other}/ns/net"),
    "write a sysctl": lambda: write("/proc/sys/net/ipv4/ip_forward"),
    "write below /sys": lambda: write("/sys/kernel/mm/transparent_hugepage/enabled"),
    "write root's file": lambda: write("/etc/hostname"),
    "make a file": lambda: os.close(os.open("/tmp/tidegate-tried", os.O_CREAT | os.O_WRONLY, 0o600)),
    "make a folder": lambda: os.mkdir("/tmp/tidegate-tried-folder"),
    "make a device": lambda: os.mknod("/tmp/tidegate-tried-device", 0o20600, os.makedev(1, 1)),
    "signal another": lambda: os.kill(other, 0),
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "become root": lambda: os.setresuid(0, 0, 0),
    "make a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
    "make a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3),
    "make a user namespace": lambda: checked(libc.unshare(0x10000000)),
    "enter a namespace": lambda: checked(libc.setns(0, 0)),
    "mount": lambda: checked(libc.mount(b"none", b"/mnt", b"tmpfs", 0, None)),
    "trace another": lambda: checked(libc.ptrace(16, other, 0, 0)),
    "load a module": lambda: checked(libc.syscall(ctypes.c_long(313), 0, b"", 0)),
    "set the clock": lambda: checked(libc.settimeofday(ctypes.create_string_buffer(16), None)),
    "change an owner": lambda: os.chown("/etc/hostname", 1000, 1000),
    "give itself a capability": lambda: own._keep_only((own.FOR_MARK,)),
    "take part in nftables": lambda: session.Session().run("list tables", "x"),
}

for name, attempt in ATTEMPTS.items():
    pid = os.fork()
    if pid == 0:
        confine(sys.argv[1])
        devnull = os.open("/dev/null", os.O_RDONLY)
        try:
            attempt()
            os._exit(0)
        except BaseException:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(f"{name}: {'could' if code == 0 else 'ended' if code == -signal.SIGSYS else 'refused'}", flush=True)
    for path in ("/tmp/tidegate-tried", "/tmp/tidegate-tried-folder", "/tmp/tidegate-tried-device"):
        try:
            os.unlink(path)
        except IsADirectoryError:
            os.rmdir(path)
        except OSError:
            pass
"""

COULD: dict[str, set[str]] = {
    "proxy": set(),
    # Root by name only: it may read what root may read, and change rules, which is its work.
    "keeper": {
        "read a password",
        "list root's folder",
        "see another's descriptors",
        "take part in nftables",
    },
}
"""What is left to each of all that is tried."""


def tried(lab: Lab, who: str) -> dict[str, str]:
    other = lab.app.popen(["sleep", "60"])
    try:
        # The child that confines itself is forked, so modules are there before; the rest is found out by trying.
        ran = lab.app.run([sys.executable, "-c", COMMON, who, str(other.pid)], timeout=60)
    finally:
        other.kill()
        other.wait()
    return dict(line.split(": ") for line in ran.stdout.splitlines())


@pytest.mark.parametrize("who", COULD)
def test_what_is_tried_is_refused_or_ends_it(lab: Lab, who: str) -> None:
    found = tried(lab, who)
    assert {name for name, result in found.items() if result == "could"} == COULD[who]
    for name in (
        "run a program",
        "become root",
        "make a user namespace",
        "enter a namespace",
        "mount",
        "trace another",
    ):
        assert found[name] == "ended", f"{who}: {name}: {found[name]}"


def test_the_companion(lab: Lab) -> None:
    """It is as good as root, and yet: no devices, no clock, no modules, no tracing, no owners changed."""
    found = tried(lab, "companion")
    for name in ("make a device", "load a module", "change an owner"):
        assert found[name] == "refused", name
    for name in ("trace another", "set the clock"):
        assert found[name] == "ended", name


def test_another_process_of_the_proxys_user_cannot_look_into_it(lab: Lab) -> None:
    from tests.lab.own_proxy import OwnProxy

    with OwnProxy(lab.app) as proxy:
        proxy.wait_ready()
        as_proxy = ["setpriv", "--reuid=1337", "--regid=1337", "--clear-groups"]
        for path in ("mem", "environ", "fd", "maps", "root"):
            ran = lab.app.run([*as_proxy, "ls", "-lL", f"/proc/{proxy.pid}/{path}/."], check=False)
            read = lab.app.run([*as_proxy, "head", "-c", "1", f"/proc/{proxy.pid}/{path}"], check=False)
            assert ran.returncode != 0, path
            assert read.returncode != 0, path
    assert subprocess.PIPE
