"""The few Linux calls that Python 3.11 has no name for."""

import contextlib
import ctypes
import os
import signal
import struct
import sys
from typing import NamedTuple

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
SFD_CLOEXEC = os.O_CLOEXEC
SIGNALFD_SIGINFO = struct.Struct("=IiiI")
SIGNALFD_SIZE = 128
# si_code of a signal that the kernel itself raised: a terminal's Ctrl-C goes so to the whole foreground group.
SI_KERNEL = 0x80

_libc = ctypes.CDLL(None, use_errno=True)


class Received(NamedTuple):
    number: int
    from_kernel: bool


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send us `number` when the thread that forked us ends."""
    _checked(_libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def set_name(name: str) -> None:
    """Name this process in `ps` (15 bytes)."""
    _checked(_libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0), "prctl(PR_SET_NAME)")


def signalfd(numbers: set[signal.Signals]) -> int:
    """A descriptor, owned by the caller, that is readable while one of `numbers` (block them first) is pending."""
    mask = (ctypes.c_ulong * (1024 // (8 * ctypes.sizeof(ctypes.c_ulong))))()
    bits = 8 * ctypes.sizeof(ctypes.c_ulong)
    for number in numbers:
        mask[(number - 1) // bits] |= 1 << ((number - 1) % bits)
    return _checked(_libc.signalfd(-1, mask, SFD_CLOEXEC), "signalfd")


def reap_orphans(own: set[int]) -> None:
    """As a container's first process we inherit the processes that lose their parent, and have to reap them.

    `own`: children that we have started; their status is waited for elsewhere.
    """
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            children = set(map(int, file.read().split()))
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return
    for pid in children - own:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def read_signal(fd: int) -> Received:
    number, _errno, code, _pid = SIGNALFD_SIGINFO.unpack_from(os.read(fd, SIGNALFD_SIZE))
    return Received(number, code == SI_KERNEL)


def keep_only_descriptors(*kept: int) -> None:
    """Close every other one, the standard three onto /dev/null: a pipe that a process which stays behind holds open
    would make the caller's reader wait for it."""
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    keep = {0, 1, 2, *kept}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _checked(result: int, call: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
    return result


def have_standard_descriptors() -> None:
    """Open /dev/null for those of standard input, output and error that we were started without: the next socket would
    get the number, and be written to as if it were the log. Call it before anything else is opened."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:
            os.close(fd)
            break
    # Python has none of its own where it found none, and would print to standard output what is meant for error.
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
