"""Counts who connects and sends to whom, by programs that bcc compiles here and now.

bcc for what it is good at: a question that is asked now and then, on a host where a compiler is acceptable. It takes
half a second and a hundred megabytes, so nothing else of tidegate's uses it. bcc would attach to a cgroup in a way that
outlives the process; the links that libbpf makes end with us, also after SIGKILL.
"""

import os
import struct
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NamedTuple

from cext.libbpf import libbpf
from cext.libbpf.kinds import AttachType, ProgramType

HERE = Path(__file__).resolve().parent
MOST_CALLS = 16384
_SYSTEM_HEADERS = Path("/usr/include")
_HOOKS = (
    ("connect4", "call4", AttachType.CONNECT4),
    ("connect6", "call6", AttachType.CONNECT6),
    ("sendmsg4", "call4", AttachType.SENDMSG4),
    ("sendmsg6", "call6", AttachType.SENDMSG6),
)


class Unavailable(Exception):
    """A package is missing, which the message names, or this kernel does not take what was compiled."""


class Call(NamedTuple):
    """A process' calls to one destination. `protocol`: IPPROTO_TCP or IPPROTO_UDP."""

    pid: int
    name: str
    uid: int
    gid: int
    protocol: int
    address: IPv4Address | IPv6Address
    port: int
    times: int


class Discovery:
    """Counting goes on from construction until `close`, or until this process ends."""

    def __init__(self, cgroup: int, *, netns: int | None, pid: int | None) -> None:
        """cgroup: an open folder, whose processes and those below are looked at. netns: cookie of the only network
        namespace to look at. Raises Unavailable, and BpfError when the kernel takes a program but no link to it."""
        self._undo = ExitStack()
        try:
            self._compiled = _compiled({"CALLS": MOST_CALLS, "NETNS": f"{netns or 0}ULL", "PID": pid or 0})
            self._undo.callback(self._compiled.cleanup)
            for hook, function, attach_type in _HOOKS:
                program = _load(self._compiled, function, attach_type)
                self._undo.callback(os.close, program)
                link = libbpf.link_create(program, cgroup, attach_type, hook)
                self._undo.callback(os.close, link)
        except BaseException:
            self._undo.close()
            raise

    def calls(self) -> Iterator[Call]:
        """What was counted so far."""
        for key, count in self._compiled["calls"].items():
            packed = struct.pack("=4I", *key.address)
            yield Call(
                key.pid,
                key.name.decode(errors="replace"),
                key.uid,
                key.gid,
                key.protocol,
                IPv4Address(packed[:4]) if key.family == 4 else _plain(IPv6Address(packed)),
                key.port,
                count.value,
            )

    def lost(self) -> int:
        """Calls that found no room: more than MOST_CALLS different ones."""
        return int(next(iter(self._compiled["lost"].values())).value)

    def close(self) -> None:
        self._undo.close()


def _compiled(constants: dict[str, object]) -> Any:
    try:
        # It reads the variable when it is imported. With it, it asks for no kernel's build tree.
        os.environ["BCC_KERNEL_SOURCE"] = str(HERE / "kernel")
        from bcc import BPF
    except ImportError:
        raise Unavailable("bcc is not installed: apt install python3-bpfcc") from None
    multiarch = _SYSTEM_HEADERS / str(sysconfig.get_config_var("MULTIARCH") or "")
    if not (_SYSTEM_HEADERS / "linux/types.h").exists():
        raise Unavailable("the kernel's user-space headers are not installed: apt install linux-libc-dev")
    flags = [f"-I{folder}" for folder in (_SYSTEM_HEADERS, multiarch)]
    flags += [f"-D{name}={value}" for name, value in constants.items()]
    return _refusable(lambda: BPF(src_file=str(HERE / "discover.c"), cflags=flags))


def _load(compiled: Any, function: str, attach_type: int) -> int:
    """The descriptor of a program for that hook; the same function is loaded anew for each."""
    loaded = _refusable(lambda: compiled.load_func(function, ProgramType.CGROUP_SOCK_ADDR, attach_type=attach_type))
    # bcc keeps one program for a name, and gives it back for the next hook too.
    del compiled.funcs[function.encode()]
    return int(loaded.fd)


def _refusable(step: Callable[[], Any]) -> Any:
    """bcc has one exception for everything, and prints what the compiler or the verifier said."""
    try:
        return step()
    except Exception as refused:
        raise Unavailable(f"bcc: {refused}") from refused


def _plain(address: IPv6Address) -> IPv4Address | IPv6Address:
    return address.ipv4_mapped or address
