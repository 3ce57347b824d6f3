"""Beside the proxy, with the privileges that the proxy has given up: watches the capture that feeds it.

It tells the proxy whether capture works (rules that vanish under a running proxy turn it unready) and, with
`--when-down open`, keeps saying in the kernel that the proxy lives, for as long as the proxy says that it accepts.
Under ebpf capture it is also the direct lane's hand: what the proxy decides about Services it takes to the kernel.
Started as root only, by its warden (warden.py); it ends with the proxy, and then the kernel's sign of life runs out by
itself.
"""

import contextlib
import gc
import json
import os
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from proxy.core.lower.kernel_messages import LONGEST_LINE
from tidegate.beside.lines import Lines, parsed

if TYPE_CHECKING:
    from mmap import mmap

    from intercept.plan.build import Plan
    from tidegate.beside.courier import Courier

BEAT_S = 0.3
# Reading the rules and comparing them costs milliseconds, a probe through them a process or two: each in its own time.
LOOK_S = 2.0
PROBE_S = 6.0
ANSWER_S = 1.0
COUNT_S = 1.0
CAP_NET_ADMIN = 12
_OUT_OF_SIGHT = (
    "inbound: the proxy is in another PID namespace than the helper, which therefore cannot make its listener "
    "transparent; let them share one (shareProcessNamespace: true), or give the proxy CAP_NET_ADMIN"
)


@dataclass(slots=True)
class Watch:
    """What the companion knows from one look to the next."""

    proxy: int
    """Its process id; 0: it is in another PID namespace."""
    probes: socket.socket
    """The channel by which the proxy is told of probes and witnesses them."""
    memory: "mmap"
    """One byte that outlives us: whether capture was ever seen in force. The next companion goes on from there."""
    in_force: bool = False
    mode: str = ""
    refreshing: bool = False
    suited: tuple[int, bool] | None = None
    problem: str | None = None
    probed: "Plan | None" = None
    probed_at: float = 0.0
    probes_said: str | None = None
    dns_interfaces: list[str] = field(default_factory=list)
    """Interfaces whose DNS is captured, besides the workload's."""


def may_watch() -> bool:
    """Whether this process could look after capture: root with CAP_NET_ADMIN."""
    if os.geteuid() != 0:
        return False
    with open("/proc/self/status", encoding="ascii") as status:
        effective = next(line for line in status if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> CAP_NET_ADMIN & 1)


def watch_over(proxy: int, port: int, channels: tuple[socket.socket, ...], memory: "mmap", *, again: bool) -> None:
    """Watch the capture that feeds that proxy, whose outbound listener is at `port`. Returns when the proxy has ended.

    channels: three, all of which lead to the proxy. again: another companion did this before and has died.
    """
    channel, direct, probes = channels
    watch = Watch(proxy, probes, memory)
    if again:
        _look(watch, port, accepting=False)  # the proxy must not hear that all is well before it was looked at
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        _watch(watch, port, channel, direct)


def _watch(watch: Watch, port: int, channel: socket.socket, direct: socket.socket) -> None:
    lines = channel.makefile("rw", encoding="utf-8")
    following = _Following(direct)
    looked, frozen = 0.0, False
    # The answer to the first message comes when the proxy serves; until then there is nothing to look at.
    said = _told(lines, watch)
    while True:
        now = time.monotonic()
        if now - looked >= LOOK_S:
            _look(watch, port, said.accepting)
            looked = now
            gc.collect()  # a look leaves cycles, and nobody else here makes enough of them to have them collected
            if watch.in_force and not frozen:
                frozen = True
                gc.freeze()  # everything is imported by now, and need not be looked through each time
        said = _told(lines, watch)
        if watch.refreshing and said.accepting:
            _refresh(watch)
        following.attend(watch.mode == "ebpf" and watch.in_force and not said.handed_over, BEAT_S)


def _told(lines: TextIO, watch: Watch) -> "_Said":
    """Tell the proxy how capture is, and hear how it is. Raises ConnectionResetError when it has ended."""
    message = {"op": "capture", "problem": watch.problem, "dns_interfaces": watch.dns_interfaces}
    lines.write(json.dumps(message) + "\n")
    lines.flush()
    answer = lines.readline(LONGEST_LINE)
    if not answer:
        raise ConnectionResetError
    # What the proxy says may be anything, if it was broken into.
    said = parsed(answer.encode())
    known = said if isinstance(said, dict) else {}
    return _Said(known.get("accepting") is True, known.get("handed_over") is True)


class _Said(NamedTuple):
    accepting: bool
    handed_over: bool
    """Another proxy serves in its place, and that one's companion is the direct lane's hand."""


class _Following:
    """The direct lane, on a channel of its own. Little is imported before there is ebpf capture."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lines = Lines()
        self._courier: Courier | None = None
        self._reported = 0.0
        self._available: bool | None = None
        """As the proxy was told; None: it was not yet."""

    def attend(self, available: bool, seconds: float) -> None:
        """For so long: take changes to the kernel as they come, counts to the proxy every COUNT_S."""
        deadline = time.monotonic() + seconds
        if available and self._courier is None:
            self._courier = _new_courier()
        if available != self._available:
            self._available = available
            self._send({"op": "direct-follow", "available": available})
        if self._courier is not None and available and time.monotonic() - self._reported >= COUNT_S:
            self._reported = time.monotonic()
            for request in self._courier.requests():
                self._send(request)
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._channel], [], [], left)[0]:
                self._receive()

    def _send(self, request: dict[str, Any]) -> None:
        self._channel.sendall(json.dumps(request).encode() + b"\n")

    def _receive(self) -> None:
        data = self._channel.recv(1 << 16)
        if not data:
            raise ConnectionResetError
        for message in self._lines.take(data):
            answer = None if self._courier is None else self._courier.hear(message)
            if answer is not None:
                self._send(answer)


def _new_courier() -> "Courier":
    from intercept.backends.ebpf.direct import lane as direct
    from tidegate.beside.courier import SOME_ENDED, Courier

    return Courier(direct.pinned(), lambda text: print(f"tidegate: {text}", file=sys.stderr), SOME_ENDED)


def _look(watch: Watch, port: int, accepting: bool) -> None:
    from intercept import capture
    from intercept.errors import CaptureError
    from intercept.host.facts import read_host
    from intercept.intent.intent import Dns, Mode, WhenDown

    try:
        if watch.mode == Mode.EBPF:
            _tell_addresses()
        found = capture.watched(read_host())
    except CaptureError as error:
        watch.problem = str(error)
        return
    watch.in_force = watch.refreshing = False
    if found is None:
        watch.problem = "the capture that was in force is gone" if watch.memory[0] else None
        return
    plan = found.plan
    if plan is not None and plan.intent.listeners.outbound != port:
        return  # somebody else's capture
    watch.in_force = True
    watch.memory[0] = 1
    watch.mode = found.mode
    watch.problem = "; ".join(found.drift) or None
    if plan is not None:
        _suit_listener(watch, plan.intent.listeners.inbound, transparent=found.mode == Mode.TPROXY)
        watch.refreshing = plan.intent.when_down is WhenDown.OPEN
        captured = plan.intent.virtual_interfaces if plan.intent.dns is not Dns.OFF else ()
        watch.dns_interfaces = list(captured)
        if accepting:
            if watch.refreshing:
                _refresh(watch)  # before the probes: without a sign of life they would go direct
            watch.problem = watch.problem or _probed(watch, plan)


def _suit_listener(watch: Watch, port: int, *, transparent: bool) -> None:
    """init and proxy start in either order: what the mode needs of the proxy's inbound listener is known only now. It
    has the same listeners all its life, and finding them means looking at each of its sockets."""
    from intercept.host.transparency import set_transparent

    if watch.suited == (port, transparent):
        return
    if watch.proxy == 0:
        # A helper's companion: the kernel gives no process id across PID namespaces.
        if transparent:
            watch.problem = watch.problem or _OUT_OF_SIGHT
        return
    try:
        set_transparent(watch.proxy, port, transparent)
        watch.suited = port, transparent
    except OSError as error:
        print(f"tidegate: the inbound listener could not be suited to the capture: {error}", file=sys.stderr)


def _tell_addresses() -> None:
    """The other backends ask routing what an own address is; programs have to be told when addresses come and go."""
    from intercept.backends.ebpf import backend as ebpf

    ebpf.refresh_addresses()


def _probed(watch: Watch, plan: "Plan") -> str | None:
    """What is wrong with synthetic connections through the capture path: now, if it is time or something was wrong or
    has changed; else as it was found last."""
    from intercept.check.check import look
    from intercept.check.witness import OurProxy

    now = time.monotonic()
    if plan != watch.probed or watch.probes_said is not None or now - watch.probed_at >= PROBE_S:
        try:
            failed = [f"{one.name}: {one.detail}" for one in look(plan, OurProxy(watch.probes)) if not one.ok]
        except OSError as error:
            failed = [f"no probe could be made: {error}"]
        watch.probed, watch.probed_at = plan, now
        watch.probes_said = "; ".join(failed) or None
    return watch.probes_said


def _refresh(watch: Watch) -> None:
    from intercept import capture
    from intercept.errors import CaptureError

    try:
        capture.refresh_alive()
    except CaptureError as error:
        watch.problem = str(error)
