"""The process that `--when-down open` needs where netfilter captures: it tells the kernel that a proxy listens.

A rule can't ask whether a proxy listens on a port. So `init` leaves a process behind that asks instead of the rule,
three times a second, whichever proxy it is, and renews the sign of life that the rules consult. It lives exactly as
long as the capture that it serves: `cleanup` and a changed `init` end it, and it ends by itself when its rules or all
other processes of its network namespace have gone. When it is killed the sign of life runs out, and connections go
direct: that is what `open` asks for.
"""

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator

from intercept import capture, runs
from intercept.errors import CaptureError
from intercept.host.facts import read_host
from intercept.host.listeners import signs_here
from intercept.intent.intent import Mode, WhenDown
from intercept.lock import changing_capture
from intercept.plan.rules import Plan
from proxy.start import seccomp

BEAT_S = 0.3
ABANDONED_S = 5.0
END = b"end"
_NAME = "tidegate-keeper/"
_ANSWER_S = 2.0
_START_S = 5.0
_BUSY_S = 0.3
_RETRY_S = 0.02
CAPABILITIES = {
    Mode.NFTABLES: frozenset({"CAP_NET_ADMIN"}),
    Mode.TPROXY: frozenset({"CAP_NET_ADMIN"}),
    # To see whether the rules are still there; the sets alone would do without.
    Mode.IPTABLES: frozenset({"CAP_NET_ADMIN", "CAP_NET_RAW"}),
}
_LISTENS = "00010000"
_CREDENTIALS = struct.Struct("=iII")


def suit(applied: Plan, *, wait_s: float, filtered: bool = True) -> tuple[str, ...]:
    """Have a keeper exactly if the capture in force here needs one. Warnings, when it can't have the one it needs.

    Call it after a change of capture, from a process with one thread. Needs CAP_NET_ADMIN. filtered: whether the keeper
    may make the system calls only that it needs.
    """
    if not needs_keeper(applied) and not _names():
        return ()
    with changing_capture(wait_s):
        plan = capture.plan_in_force(read_host())
        needed = _name(plan) if plan is not None and needs_keeper(plan) else None
        there = False
        for name, keeper in _keepers():
            with keeper:
                there = there or name == needed
                if name != needed:
                    _end(keeper)
        if needed is None or plan is None or there:
            return ()
        if os.getpid() == 1:
            # The kernel ends with us everything that we start.
            return (
                "--when-down open: this container ends with init, so no process stays to see whether a proxy listens; "
                "run tidegate's own proxy as root, or new connections go direct for good",
            )
        signs_here(plan.intent.listeners)  # raises where the kernel can't tell
        # A suffix that cannot be guessed: any process may bind a name, and would keep us from it.
        if not _leave_behind(plan, f"{needed}/{os.urandom(8).hex()}", filtered=filtered):
            return ("--when-down open: the process that looks whether a proxy listens ended; run init again",)
        why_not = seccomp.why_not() if filtered else None
    if why_not is not None:
        return (f"tidegate-keeper may make every system call: {why_not} (--seccomp off: as it is meant)",)
    return ()


def dismiss() -> None:
    """End every keeper of this network namespace; returns when they have gone."""
    for _, keeper in _keepers():
        with keeper:
            _end(keeper)


def needs_keeper(plan: Plan) -> bool:
    """Whether a process has to look for the listeners: eBPF programs do so themselves. Pure."""
    return plan.mode is not Mode.EBPF and plan.intent.when_down is WhenDown.OPEN


def _name(plan: Plan) -> str:
    ports = plan.intent.listeners
    return f"{_NAME}{plan.mode}/{ports.outbound}-{ports.inbound}-{ports.dns}"


def _keepers() -> Iterator[tuple[str, socket.socket]]:
    """What each keeper here keeps, and a connection to it, which the caller owns.

    Any process may bind such a name. Only root and our own user are believed. A queue that is full is tried again for
    _BUSY_S: the keeper's may have been filled to hide it, and empties at once.
    """
    deadline = time.monotonic() + _BUSY_S
    waiting = _names()
    while waiting:
        busy = []
        for name in waiting:
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                channel.setblocking(False)
                channel.connect("\0" + name)
                trusted = _peer_uid(channel) in (0, os.geteuid())
            except BlockingIOError:  # its queue is full
                trusted = False
                busy.append(name)
            except OSError:
                trusted = False
            if trusted:
                channel.settimeout(_ANSWER_S)
                yield name.rpartition("/")[0], channel
            else:
                channel.close()
        waiting = busy if time.monotonic() < deadline else []
        if waiting:
            time.sleep(_RETRY_S)


def _names() -> list[str]:
    """Names of listening sockets that may be keepers'."""
    with open("/proc/thread-self/net/unix", encoding="utf-8", errors="replace") as table:
        rows = [line.split(maxsplit=7) for line in table if f"@{_NAME}" in line]
    listening = {row[7].strip() for row in rows if len(row) == 8 and row[3] == _LISTENS}
    return sorted(path.removeprefix("@") for path in listening if path.startswith(f"@{_NAME}"))


def _peer_uid(channel: socket.socket) -> int:
    raw = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def _end(keeper: socket.socket) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        keeper.sendall(END)
        while keeper.recv(16):
            pass


def _leave_behind(plan: Plan, name: str, *, filtered: bool) -> bool:
    """Fork a process that is no child of ours and holds none of our descriptors but its socket.

    True once it has looked for the first time and what it saw holds; False: it has ended instead.
    """
    ready, tell = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind("\0" + name)
        door.listen(8)
        middle = os.fork()
        if middle != 0:
            os.close(tell)
            os.waitpid(middle, 0)
            try:
                return bool(select.select([ready], [], [], _START_S)[0] and os.read(ready, 1))
            finally:
                os.close(ready)
        try:
            os.setsid()
            if os.fork() == 0:
                _keep(plan, door, tell, filtered=filtered)
        finally:
            os._exit(0)


def _keep(plan: Plan, door: socket.socket, tell: int, *, filtered: bool) -> None:
    from tidegate import processes
    from tidegate.beside.calls import KEEPER
    from tidegate.beside.privileges import confine

    processes.set_name("tidegate-keeper")
    # What ends a session or a terminal is not meant for us; SIGTERM is.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    processes.keep_only_descriptors(door.fileno(), tell)
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
            with contextlib.suppress(BrokenPipeError):
                os.write(tell, b"1")
            os.close(tell)
            tell = -1
        due = time.monotonic() + BEAT_S
        while (left := due - time.monotonic()) > 0:
            if select.select([door], [], [], left)[0] and _told_to_end(door):
                return
        if time.monotonic() - looked >= ABANDONED_S:
            looked = time.monotonic()
            if _alone() or not _in_force(plan):
                return


def _told_to_end(door: socket.socket) -> bool:
    """The connection stays open when it is: its end tells that we have gone."""
    channel, _ = door.accept()
    channel.settimeout(0.1)
    try:
        if _peer_uid(channel) in (0, os.geteuid()) and channel.recv(len(END)) == END:
            channel.detach()
            return True
    except OSError:
        pass
    channel.close()
    return False


def _in_force(plan: Plan) -> bool:
    from intercept.backends import backend

    return runs.PLAIN in backend(plan.mode).names()


def _alone() -> bool:
    """Whether only helpers like us are left in this network namespace, and no name leads to it any more.

    We ourselves keep it alive, so nothing else would ever end us.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        here = os.readlink("/proc/self/ns/net")
        if any(f" {here} " in line for line in mounts):
            return False
    # The link of another's namespace needs CAP_SYS_PTRACE to be read. Files below its `net` don't, and each
    # namespace has its own.
    mine = _namespace_of("self")
    return not any(
        _namespace_of(entry) == mine and not _is_keeper(entry)
        for entry in os.listdir("/proc")
        if entry.isdigit() and int(entry) != os.getpid()
    )


def _namespace_of(pid: str) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/net/unix").st_ino
    except OSError:  # it has ended
        return None


def _is_keeper(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read() == b"tidegate-keeper\n"
    except OSError:
        return True
