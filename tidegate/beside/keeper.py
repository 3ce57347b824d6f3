"""The process that `--when-down open` needs where netfilter captures: it tells the kernel that a proxy listens.

A rule can't ask whether a proxy listens on a port. So `init` leaves a process behind that asks instead of the rule,
three times a second, whichever proxy it is, and renews the sign of life that the rules consult. It lives exactly as
long as the capture that it serves: `cleanup` and a changed `init` end it, and it ends by itself when its rules or all
other processes of its network namespace have gone. When it is killed the sign of life runs out, and connections go
direct: that is what `open` asks for.
"""

import contextlib
import os
import socket
import time

from intercept import capture, runs
from intercept.errors import CaptureError
from intercept.host.facts import read_host
from intercept.host.listeners import signs_here
from intercept.intent.intent import Mode, WhenDown
from intercept.lock import changing_capture
from intercept.plan.rules import Plan
from proxy.start import seccomp
from tidegate.beside import left_behind

BEAT_S = 0.3
ABANDONED_S = 5.0
_NAME = "tidegate-keeper/"
CAPABILITIES = {
    Mode.NFTABLES: frozenset({"CAP_NET_ADMIN"}),
    Mode.TPROXY: frozenset({"CAP_NET_ADMIN"}),
    # To see whether the rules are still there; the sets alone would do without.
    Mode.IPTABLES: frozenset({"CAP_NET_ADMIN", "CAP_NET_RAW"}),
}


def suit(applied: Plan, *, wait_s: float, filtered: bool = True) -> tuple[str, ...]:
    """Have a keeper exactly if the capture in force here needs one. Warnings, when it can't have the one it needs.

    Call it after a change of capture, from a process with one thread. Needs CAP_NET_ADMIN. filtered: whether the keeper
    may make the system calls only that it needs.
    """
    if not needs_keeper(applied) and not left_behind.names(_NAME):
        return ()
    with changing_capture(wait_s):
        plan = capture.plan_in_force(read_host())
        needed = _name(plan) if plan is not None and needs_keeper(plan) else None
        there = False
        for name, keeper in left_behind.left(_NAME):
            with keeper:
                there = there or name == needed
                if name != needed:
                    left_behind.end(keeper)
        if needed is None or plan is None or there:
            return ()
        if os.getpid() == 1:
            # The kernel ends with us everything that we start.
            return (
                "--when-down open: this container ends with init, so no process stays to see whether a proxy listens; "
                "run tidegate's own proxy as root, or new connections go direct for good",
            )
        signs_here(plan.intent.listeners)  # raises where the kernel can't tell
        if not left_behind.fork_away(needed, lambda door, tell: _keep(plan, door, tell, filtered=filtered)):
            return ("--when-down open: the process that looks whether a proxy listens ended; run init again",)
        why_not = seccomp.why_not() if filtered else None
    if why_not is not None:
        return (f"tidegate-keeper may make every system call: {why_not} (--seccomp off: as it is meant)",)
    return ()


def dismiss() -> None:
    """End every keeper of this network namespace; returns when they have gone."""
    left_behind.dismiss(_NAME)


def needs_keeper(plan: Plan) -> bool:
    """Whether a process has to look for the listeners: eBPF programs do so themselves. Pure."""
    return plan.mode is not Mode.EBPF and plan.intent.when_down is WhenDown.OPEN


def _name(plan: Plan) -> str:
    ports = plan.intent.listeners
    return f"{_NAME}{plan.mode}/{ports.outbound}-{ports.inbound}-{ports.dns}"


def _keep(plan: Plan, door: socket.socket, tell: int, *, filtered: bool) -> None:
    left_behind.settle("tidegate-keeper", door, tell)
    from tidegate.beside.calls import KEEPER
    from tidegate.beside.privileges import confine

    confine(CAPABILITIES[plan.mode], KEEPER if filtered else None)
    with contextlib.suppress(CaptureError):  # the rules have gone, and so may we
        _watch(plan, door, tell)


def _watch(plan: Plan, door: socket.socket, tell: int) -> None:
    from intercept.backends import backend

    there = backend(plan.mode)
    looked = time.monotonic()
    while True:
        up = signs_here(plan.intent.listeners)
        if up:
            there.refresh_alive(runs.PLAIN, up)
        if tell >= 0:
            left_behind.say_ready(tell)
            tell = -1
        due = time.monotonic() + BEAT_S
        while time.monotonic() < due:
            if _told_to_end(door, due):
                return
        if time.monotonic() - looked >= ABANDONED_S:
            looked = time.monotonic()
            if left_behind.alone() or not _in_force(plan):
                return


def _told_to_end(door: socket.socket, until: float) -> bool:
    """Whether root or our own user asks us to end before that time. The connection stays open when it is so: its end
    tells that we have gone."""
    channel = left_behind.wait(door, until)
    if channel is None:
        return False
    trusted = left_behind.peer(channel).uid in (0, os.geteuid())
    if trusted and left_behind.heard(channel, len(left_behind.END)) == left_behind.END:
        channel.detach()
        return True
    channel.close()
    return False


def _in_force(plan: Plan) -> bool:
    from intercept.backends import backend

    return runs.PLAIN in backend(plan.mode).names()
