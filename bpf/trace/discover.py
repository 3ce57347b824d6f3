"""Sees who talks to whom, by programs that bcc compiles here and now.

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
from cext.libbpf.kinds import AttachType, Helper, ProgramType

HERE = Path(__file__).resolve().parent
MOST_CALLS = 16384
MOST_FLOWS = 16384
"""Connections that are kept at a time; those that have ended are taken out at each look."""
_SYSTEM_HEADERS = Path("/usr/include")
_HOOKS = (
    ("connect4", "call4", ProgramType.CGROUP_SOCK_ADDR, AttachType.CONNECT4),
    ("connect6", "call6", ProgramType.CGROUP_SOCK_ADDR, AttachType.CONNECT6),
    ("sendmsg4", "call4", ProgramType.CGROUP_SOCK_ADDR, AttachType.SENDMSG4),
    ("sendmsg6", "call6", ProgramType.CGROUP_SOCK_ADDR, AttachType.SENDMSG6),
    ("sockops", "happened", ProgramType.SOCK_OPS, AttachType.SOCK_OPS),
    ("egress", "leaves", ProgramType.CGROUP_SKB, AttachType.INET_EGRESS),
    ("ingress", "arrives", ProgramType.CGROUP_SKB, AttachType.INET_INGRESS),
)
CONNECTING, ESTABLISHED, ENDED = 1, 2, 3
Address = IPv4Address | IPv6Address


class Unavailable(Exception):
    """A package is missing, which the message names, or this kernel does not take what was compiled."""


class Call(NamedTuple):
    """A process' messages to one destination, of any transport but TCP. protocol: as IPPROTO_UDP."""

    pid: int
    name: str
    uid: int
    gid: int
    protocol: int
    address: Address
    port: int
    times: int


class Connection(NamedTuple):
    """A connection of TCP. cookie: the socket's. Times are of the monotonic clock, in seconds; 0: not yet. first:
    bytes, which `by_peer` says who sent."""

    cookie: int
    outbound: bool
    pid: int
    name: str
    uid: int
    gid: int
    local: tuple[Address, int]
    remote: tuple[Address, int]
    state: int
    failed: bool
    sent: int
    received: int
    started_s: float
    established_s: float
    ended_s: float
    first: bytes
    by_peer: bool


class Discovery:
    """Looks on from construction until `close`, or until this process ends."""

    def __init__(self, cgroup: int, *, netns: int | None, asked: int | None = None) -> None:
        """cgroup: an open folder, whose processes and those below are looked at. netns: cookie of the only network
        namespace to look at. asked: descriptor of ebpf capture's map of what steered sockets asked for. Raises
        Unavailable, and BpfError when the kernel takes a program but no link to it."""
        self._undo = ExitStack()
        self._answers: list[bytes] = []
        knows_netns = libbpf.helper_supported(ProgramType.SOCK_OPS, AttachType.SOCK_OPS, Helper.GET_NETNS_COOKIE)
        self.sees_arrivals = knows_netns or netns is None
        """Whether connections that arrive are seen, too: in one namespace alone they are since Linux 5.15."""
        constants: dict[str, object] = {
            "CALLS": MOST_CALLS,
            "FLOWS": MOST_FLOWS,
            "NETNS": f"{netns or 0}ULL",
            "ASKED": asked or 0,
            "PAGE_SIZE": os.sysconf("SC_PAGESIZE"),
            "SOCKOPS_NETNS": int(knows_netns),
        }
        try:
            self._attach(cgroup, constants)
        except BaseException:
            self._undo.close()
            raise

    def _attach(self, cgroup: int, constants: dict[str, object]) -> None:
        self._compiled = compiled = _compiled(constants)
        self._undo.callback(compiled.cleanup)
        compiled["answers"].open_ring_buffer(self._answered)
        for hook, function, program_type, attach_type in _HOOKS:
            program = _load(compiled, function, program_type, attach_type)
            self._undo.callback(os.close, program)
            link = libbpf.link_create(program, cgroup, attach_type, hook)
            self._undo.callback(os.close, link)

    def calls(self) -> Iterator[Call]:
        """All that was counted so far."""
        for key, count in self._compiled["calls"].items():
            address = _address(key.family, key.address)
            yield Call(key.pid, _name(key.name), key.uid, key.gid, key.protocol, address, key.port, count.value)

    def connections(self) -> Iterator[Connection]:
        """Those that are open, and once more those that have ended since the last look."""
        table = self._compiled["flows"]
        for cookie, flow in table.items():
            if flow.state == ENDED:
                del table[cookie]
            yield _connection(cookie.value, flow)

    def answers(self) -> list[bytes]:
        """What name servers have answered since the last look, cut at 512 bytes each."""
        self._compiled.ring_buffer_consume()
        found = self._answers[:]
        self._answers.clear()
        return found

    def lost(self) -> int:
        """Connections and calls that found no room."""
        return int(next(iter(self._compiled["lost"].values())).value)

    def close(self) -> None:
        self._undo.close()

    def _answered(self, _context: Any, data: Any, size: int) -> int:
        import ctypes

        raw = ctypes.string_at(data, size)
        length = int.from_bytes(raw[:4], "little" if struct.pack("=H", 1)[0] else "big")
        self._answers.append(raw[8 : 8 + length])
        return 0


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


def _load(compiled: Any, function: str, program_type: int, attach_type: int) -> int:
    """The descriptor of a program for that hook; the same function is loaded anew for each."""
    loaded = _refusable(lambda: compiled.load_func(function, program_type, attach_type=attach_type))
    # bcc keeps one program for a name, and gives it back for the next hook too.
    del compiled.funcs[function.encode()]
    return int(loaded.fd)


def _refusable(step: Callable[[], Any]) -> Any:
    """bcc has one exception for everything, and prints what the compiler or the verifier said."""
    try:
        return step()
    except Exception as refused:
        raise Unavailable(f"bcc: {refused}") from refused


def _connection(cookie: int, flow: Any) -> Connection:
    return Connection(
        cookie=cookie,
        outbound=flow.direction == 1,
        pid=flow.pid,
        name=_name(flow.name),
        uid=flow.uid,
        gid=flow.gid,
        local=(_address(flow.family, flow.local), flow.local_port),
        remote=(_address(flow.family, flow.remote), flow.remote_port),
        state=flow.state,
        failed=bool(flow.failed),
        sent=flow.sent,
        received=flow.received,
        started_s=flow.started_ns / 1e9,
        established_s=flow.established_ns / 1e9,
        ended_s=flow.ended_ns / 1e9,
        first=struct.pack("=4I", *flow.first)[: flow.first_length],
        by_peer=flow.spoken == 2,
    )


def _name(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _address(family: int, words: Any) -> Address:
    packed = struct.pack("=4I", *words)
    if family == 4:
        return IPv4Address(packed[:4])
    found = IPv6Address(packed)
    return found.ipv4_mapped or found
