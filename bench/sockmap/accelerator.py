"""Loads the accelerator and hangs it over a cgroup of its own, for as long as a `with` block lasts."""

import contextlib
import ctypes
import os
import platform
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import bpf.build
from cext.libbpf import libbpf
from cext.libbpf.kinds import AttachType
from intercept.host.cgroups import find_mount_point

SOURCE = Path(__file__).with_name("accelerator.bpf.c")
_SK_MSG_VERDICT = 7
_PROG_ATTACH = 8
_BPF_CALL = {"x86_64": 321, "aarch64": 280}


class Settings(NamedTuple):
    """struct settings. The client is the end that connects: a captured workload; the listener's end is the proxy's."""

    listener_port: int = 0
    client_sends: bool = True
    listener_sends: bool = True
    pass_above: int = 0


BOTH_WAYS = Settings()


class Counters(NamedTuple):
    """redirected, passed: messages. refused: sockets that could not be registered."""

    redirected: int
    passed: int
    refused: int


class Accelerator:
    """TCP connections whose both ends are established by processes of `folder` are redirected past TCP."""

    def __init__(self, folder: Path, counters: int) -> None:
        self.folder = folder
        self._counters = counters

    def counters(self) -> Counters:
        return Counters(*(libbpf.map_sum_u64(self._counters, index) for index in range(3)))

    def take(self, pid: int) -> None:
        """Move a process in: `established` sees the sockets that it makes from now on."""
        (self.folder / "cgroup.procs").write_text(str(pid))


@contextlib.contextmanager
def accelerator(settings: Settings = BOTH_WAYS, *, over: Path | None = None) -> Iterator[Accelerator]:
    """over: a cgroup folder; None: a new one, with this process in it until the block is left.

    Raises BpfError where the kernel refuses, subprocess.CalledProcessError where clang does.
    """
    with contextlib.ExitStack() as stack:
        folder = over if over is not None else stack.enter_context(_own_cgroup())
        descriptors = _load(settings, stack)
        cgroup = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, cgroup)
        _attach_to_map(descriptors["message"], descriptors["senders"])
        link = libbpf.link_create(descriptors["established"], cgroup, AttachType.SOCK_OPS, "sockops")
        stack.callback(os.close, link)
        stack.callback(libbpf.link_detach, link)
        yield Accelerator(folder, descriptors["counters"])


def _load(settings: Settings, stack: contextlib.ExitStack) -> dict[str, int]:
    """Descriptors by name, closed with the stack."""
    with tempfile.TemporaryDirectory(prefix="tidegate-sockmap-") as scratch:
        target = Path(scratch) / "accelerator.bpf.o"
        headers = ["-I", str(bpf.build.INCLUDE), "-I", f"/usr/include/{platform.machine()}-linux-gnu"]
        subprocess.run(["clang", *bpf.build.FLAGS, *headers, "-c", SOURCE, "-o", target], check=True)
        with libbpf.Object(target) as program:
            program.set_rodata(struct.pack("=4I", *settings))
            program.load()
            found = {name: program.program_fd(name) for name in ("established", "message")}
            found |= {name: program.map_fd(name) for name in ("senders", "counters")}
    for fd in found.values():
        stack.callback(os.close, fd)
    return found


def _attach_to_map(program: int, target: int) -> None:
    """By the old call: links to socket maps came with 6.10. It ends with the map."""
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = ctypes.create_string_buffer(struct.pack("=4I", target, program, _SK_MSG_VERDICT, 0))
    if libc.syscall(_BPF_CALL[platform.machine()], _PROG_ATTACH, attributes, ctypes.c_uint(16)) != 0:
        raise libbpf.BpfError(ctypes.get_errno(), "attach sk_msg")


@contextlib.contextmanager
def _own_cgroup() -> Iterator[Path]:
    mount = find_mount_point()
    if mount is None:
        raise FileNotFoundError("cgroup v2 is not mounted here")
    mount = Path(mount)
    before = next(
        line.removeprefix("0::/")
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        if line.startswith("0::/")
    )
    folder = mount / f"tidegate-sockmap-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "cgroup.procs").write_text(str(os.getpid()))
        yield folder
    finally:
        (mount / before / "cgroup.procs").write_text(str(os.getpid()))
        folder.rmdir()
