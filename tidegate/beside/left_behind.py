"""What the processes share that `init` leaves behind: a name at which `cleanup` finds them, and when they are alone.

Each listens at an abstract name `KIND/what-it-serves/suffix`. The suffix cannot be guessed: any process may bind a
name, and would keep a helper from one that is known before. Only a listener of root or of our own user is believed.
"""

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

END = b"end"
_START_S = 5.0
_ANSWER_S = 2.0
_HEAR_S = 0.1
_BUSY_S = 0.3
_RETRY_S = 0.02
_LISTENS = "00010000"
_CREDENTIALS = struct.Struct("=iII")
_OURS = frozenset({b"tidegate-keeper\n", b"tidegate-helper\n", b"tidegate-warden\n", b"tidegate-watch\n"})


class Peer(NamedTuple):
    pid: int
    """0: in a PID namespace that we cannot see into."""
    uid: int


def open_door(name: str) -> socket.socket:
    """A listening socket at that name with a suffix of its own. The caller owns it."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.bind(f"\0{name}/{os.urandom(8).hex()}")
        door.listen(8)
    except BaseException:
        door.close()
        raise
    return door


def fork_away(name: str, live: Callable[[socket.socket, int], None]) -> bool:
    """Fork a process that is no child of ours. Call it from a process with one thread.

    live: runs in that process, which ends when it returns. Gets the door at `name` and a pipe for `say_ready`. Returns
    whether it has said that it is ready; False: it has ended instead.
    """
    ready, tell = os.pipe()
    with open_door(name) as door:
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
                live(door, tell)
        finally:
            os._exit(0)


def settle(name: str, door: socket.socket, tell: int) -> None:
    """In that process: take a name of its own (15 bytes), and keep nothing else of what its starter had."""
    from tidegate import processes

    processes.set_name(name)
    # What ends a session or a terminal is not meant for us; SIGTERM is.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    processes.keep_only_descriptors(door.fileno(), tell)


def say_ready(tell: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(tell, b"1")
    os.close(tell)


def left(kind: str) -> Iterator[tuple[str, socket.socket]]:
    """The name of each such process, without its suffix, and a connection to it, which the caller owns.

    A queue that is full is tried again for _BUSY_S: a process may have filled it to hide the listener, and it empties
    at once.
    """
    deadline = time.monotonic() + _BUSY_S
    waiting = names(kind)
    while waiting:
        busy = []
        for name in waiting:
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                channel.setblocking(False)
                channel.connect("\0" + name)
                trusted = peer(channel).uid in (0, os.geteuid())
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


def names(kind: str) -> list[str]:
    """Names of listening sockets that may be such a process's."""
    with open("/proc/thread-self/net/unix", encoding="utf-8", errors="replace") as table:
        rows = [line.split(maxsplit=7) for line in table if f"@{kind}" in line]
    listening = {row[7].strip() for row in rows if len(row) == 8 and row[3] == _LISTENS}
    return sorted(path.removeprefix("@") for path in listening if path.startswith(f"@{kind}"))


def peer(channel: socket.socket) -> Peer:
    """Who is at the other end: of a connection that we made, who listened there."""
    raw = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return Peer(int(pid), int(uid))


def end(channel: socket.socket) -> None:
    """Ask a process to end; returns when it has, or does not answer."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
        channel.sendall(END)
        while channel.recv(16):
            pass


def dismiss(kind: str) -> None:
    """End every such process of this network namespace; returns when they have gone."""
    for _, channel in left(kind):
        with channel:
            end(channel)


def heard(channel: socket.socket, longest: int) -> bytes:
    """What a peer says first. It has _HEAR_S for that."""
    channel.settimeout(_HEAR_S)
    try:
        return channel.recv(longest)
    except OSError:
        return b""


def wait(door: socket.socket, until: float) -> socket.socket | None:
    """The next connection, which the caller owns; None: none came until that time of the monotonic clock."""
    remaining = until - time.monotonic()
    if remaining <= 0 or not select.select([door], [], [], remaining)[0]:
        return None
    try:
        channel, _ = door.accept()
    except OSError:  # it has gone again, or no descriptor is free
        return None
    return channel


def alone() -> bool:
    """Whether only processes of ours are left in this network namespace, and no name leads to it any more.

    They keep it alive themselves, so nothing else would ever end them.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        here = os.readlink("/proc/self/ns/net")
        if any(f" {here} " in line for line in mounts):
            return False
    # The link of another's namespace needs CAP_SYS_PTRACE to be read. Files below its `net` don't, and each
    # namespace has its own.
    mine = _namespace_of("self")
    return not any(
        _namespace_of(entry) == mine and not _is_ours(entry)
        for entry in os.listdir("/proc")
        if entry.isdigit() and int(entry) != os.getpid()
    )


def _namespace_of(pid: str) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/net/unix").st_ino
    except OSError:  # it has ended
        return None


def _is_ours(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read() in _OURS
    except OSError:
        return True
