"""What a process that has given up system calls can still do. Each call is tried for real, by a process of its own."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from proxy.start import calls, seccomp
from tidegate.beside import calls as beside

FILTERS = {"proxy": calls.PROXY, "keeper": beside.KEEPER, "capture": beside.CAPTURE}

TRY = """
import ctypes, json, os, sys
from proxy.start import calls, privileges, seccomp
from tidegate.beside import calls as beside
libc = ctypes.CDLL(None, use_errno=True)
wanted = {"proxy": calls.PROXY, "keeper": beside.KEEPER, "capture": beside.CAPTURE}[sys.argv[1]]
for line in sys.stdin:
    number, *arguments = json.loads(line)
    pid = os.fork()
    if pid == 0:
        privileges.become(os.geteuid(), os.getegid(), mark=None)  # nothing happens, should the filter not hold
        seccomp.install(wanted)
        ctypes.set_errno(0)
        done = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
        os._exit(ctypes.get_errno() if done < 0 else 0)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
ANYTHING = [0, 0, 0, 0, 0, 0]


def number(name: str) -> int:
    return int(seccomp._library().seccomp_syscall_resolve_name(name.encode()))


def tried(which: str, attempts: list[tuple[str, list[int]]]) -> list[int]:
    """Of each call: 0 or its errno; or minus the signal that ended the process."""
    lines = "".join(json.dumps([number(name), *map(int, arguments)]) + "\n" for name, arguments in attempts)
    done = subprocess.run(
        [sys.executable, "-c", TRY, which], input=lines, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("which", FILTERS)
def test_what_no_honest_process_does_ends_it(which: str) -> None:
    names = sorted(name for name in FILTERS[which].fatal if number(name) >= 0)
    assert len(names) > 15
    found = dict(zip(names, tried(which, [(name, ANYTHING) for name in names]), strict=True))
    assert {name: result for name, result in found.items() if result != -signal.SIGSYS} == {}


WRITING: list[tuple[str, list[int]]] = [
    *(("openat", [-100, 0, flags, 0]) for flags in (os.O_WRONLY, os.O_RDWR, os.O_TRUNC, os.O_WRONLY | os.O_CREAT)),
    *(("open", [0, flags, 0]) for flags in (os.O_WRONLY, os.O_RDWR, os.O_TRUNC)),
    *((name, ANYTHING) for name in ("creat", "openat2", "truncate", "link", "linkat", "setxattr")),
]

REFUSED: dict[str, list[tuple[str, list[int]]]] = {
    "proxy": [
        ("clone3", ANYTHING),
        ("clone", [signal.SIGCHLD, 0, 0, 0, 0, 0]),
        ("socket", [17, 3, 0]),  # AF_PACKET
        ("socket", [38, 5, 0]),  # AF_ALG
        ("socket", [40, 1, 0]),  # AF_VSOCK
        ("ioctl", [0, 0x5412, 0]),  # TIOCSTI
        ("prctl", [4, 1, 0, 0, 0]),  # PR_SET_DUMPABLE
        *WRITING,
        *((name, ANYTHING) for name in ("fork", "vfork", "kill", "io_uring_setup", "unlink", "unlinkat", "mkdirat")),
        *((name, ANYTHING) for name in ("renameat2", "fchmodat", "mknodat", "symlinkat", "memfd_create", "shmget")),
        *((name, ANYTHING) for name in ("personality", "mq_open", "syslog", "setsid", "wait4", "ftruncate", "flock")),
    ],
    "keeper": [
        *WRITING,
        *((name, ANYTHING) for name in ("clone", "clone3", "fork", "kill", "io_uring_setup", "unlinkat", "mkdirat")),
        *((name, ANYTHING) for name in ("renameat2", "fchmodat", "splice", "memfd_create", "inotify_init1", "wait4")),
    ],
    "capture": [
        *((name, ANYTHING) for name in ("io_uring_setup", "finit_module", "init_module", "perf_event_open", "shmget")),
        *((name, ANYTHING) for name in ("personality", "mq_open", "syslog", "move_mount", "fsopen", "setxattr")),
    ],
}


@pytest.mark.parametrize("which", FILTERS)
def test_what_is_not_needed_is_not_there(which: str) -> None:
    attempts = [(name, arguments) for name, arguments in REFUSED[which] if number(name) >= 0]
    found = tried(which, attempts)
    assert [
        (*attempt, errno.errorcode.get(result, result))
        for attempt, result in zip(attempts, found, strict=True)
        if result != errno.ENOSYS
    ] == []


@pytest.mark.parametrize("which", FILTERS)
def test_every_name_is_a_system_call(which: str) -> None:
    """One that is spelt wrong would be left out without a word."""
    one = FILTERS[which]
    names = {*one.allowed, *one.only, *one.masked, *one.fatal}
    assert seccomp.unknown(names) == []
    assert not one.allowed & one.fatal
    assert not (one.allowed & {*one.only, *one.masked})


def test_reading_is_left() -> None:
    for which in ("proxy", "keeper"):
        # A null pointer: the filter let it pass.
        assert tried(which, [("openat", [-100, 0, os.O_RDONLY | os.O_CLOEXEC, 0])]) == [errno.EFAULT]


def test_a_typing_error_is_found() -> None:
    assert seccomp.unknown(["read", "raed"]) == ["raed"]


def test_without_the_library_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> ctypes.CDLL:
        raise OSError("libseccomp.so.2: cannot open shared object file")

    seccomp._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    try:
        assert "libseccomp is not installed" in (seccomp.why_not() or "")
        with pytest.raises(seccomp.SeccompMissing):
            seccomp.install(calls.PROXY)
    finally:
        seccomp._library.cache_clear()


THREADS = """
import os, threading
from proxy.start import calls, privileges, seccomp
privileges.become(os.geteuid(), os.getegid(), mark=None)
seccomp.install(calls.PROXY)
found = []
threads = [threading.Thread(target=lambda: found.append(open("/proc/thread-self/status").read())) for _ in range(3)]
for one in threads: one.start()
for one in threads: one.join()
assert len(found) == 3
for status in found:
    assert "Seccomp:\\t2\\n" in status
    assert "NoNewPrivs:\\t1\\n" in status
"""


def test_threads_can_be_made_and_have_the_filter() -> None:
    subprocess.run([sys.executable, "-c", THREADS], check=True, timeout=30)
