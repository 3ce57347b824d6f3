"""Asking the proxy that runs for its sockets, before ours exist.

It listens at the control socket's name, which any process may bind: only root and the proxy's user are believed, and it
believes the same two. The sockets come as descriptors (SCM_RIGHTS) with its answer. From then on both have them, and
none is lost when either dies. It serves until we say TAKEN (proxy/control/predecessor.py).
"""

import json
import os
import socket
import struct
from array import array
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any

from proxy.core.addresses import Address, from_sockaddr
from proxy.errors import ProxyError
from proxy.start.bind_control import abstract_name

PROTOCOL = 1
"""Of the hand-over, not of tidegate: it changes when an older proxy could not be understood any more."""
TAKE_OVER, TAKEN, RELEASE = "take-over", "taken", "release"
LONGEST_ANSWER = 64 * 1024
MOST_SOCKETS = 64
ANSWER_S = 5.0
_UCRED = struct.Struct("3i")
_ROOM = socket.CMSG_LEN(MOST_SOCKETS * array("i").itemsize)


@dataclass
class Inherited:
    """The sockets that another proxy has shown us: owned by the holder, but for those that were taken out."""

    channel: socket.socket
    """To that proxy. It has handed over when it was told so here."""
    pid: int
    sockets: list[socket.socket] = field(default_factory=list)

    def listeners(self, port: int) -> tuple[socket.socket, ...]:
        """Those that take connections on this port at every address, IPv4 first. Empty: there are none."""
        wanted = {("0.0.0.0", port), ("::", port)}
        return self._take(lambda one: is_listening(one) and _bound(one) in wanted)

    def service(self, address: Address) -> socket.socket | None:
        """The one that takes connections at this address."""
        found = self._take(lambda one: is_listening(one) and _bound(one) == (address.ip, address.port))
        return found[0] if found else None

    def datagrams(self, port: int) -> tuple[socket.socket, ...]:
        return self._take(lambda one: one.type == socket.SOCK_DGRAM and _bound(one)[1] == port)

    def control(self, name: str) -> socket.socket | None:
        found = self._take(
            lambda one: one.family == socket.AF_UNIX and one.getsockname() == name.encode() and is_listening(one)
        )
        return found[0] if found else None

    def close_rest(self) -> None:
        """What we have no use for. The other proxy closes it too, when it has handed over."""
        for sock in self._take(lambda _: True):
            sock.close()

    def _take(self, is_wanted: Callable[[socket.socket], bool]) -> tuple[socket.socket, ...]:
        found = [one for one in self.sockets if is_wanted(one)]
        self.sockets = [one for one in self.sockets if one not in found]
        return tuple(sorted(found, key=lambda one: one.family != socket.AF_INET))


def ask(outbound_port: int, *, trusted: Container[int]) -> Inherited | None:
    """The sockets of the proxy whose outbound listener is at this port. None: no process that is root's or one of
    `trusted` answers there. Raises ProxyError when the proxy can't hand over; it goes on as before."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.settimeout(ANSWER_S)
    try:
        try:
            channel.connect(abstract_name(outbound_port))
            pid, uid, _ = _UCRED.unpack(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            if uid != 0 and uid not in trusted:
                channel.close()
                return None
            channel.sendall(message(TAKE_OVER, protocol=PROTOCOL))
            said, sockets = _answer(channel)
        except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
            channel.close()
            return None
        except TimeoutError:
            raise _Refused(f"it has not answered for {ANSWER_S:g} s") from None
        if said is None:
            channel.close()
            return None
        if said.get("ok") is not True or not sockets:
            raise _Refused(str(said.get("error")))
        channel.setblocking(False)
        return Inherited(channel, int(pid), sockets)
    except BaseException:
        channel.close()
        raise


class _Refused(ProxyError):
    def __init__(self, why: str) -> None:
        super().__init__(f"--take-over: the proxy that runs does not hand over ({why}); it goes on as before")


def message(op: str, **values: Any) -> bytes:
    return json.dumps({"op": op, **values}).encode() + b"\n"


def is_listening(sock: socket.socket) -> bool:
    return sock.type == socket.SOCK_STREAM and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _bound(sock: socket.socket) -> tuple[str, int]:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return "", 0
    address = from_sockaddr(sock.getsockname())
    return address.ip, address.port


def _answer(channel: socket.socket) -> tuple[dict[str, Any] | None, list[socket.socket]]:
    """One line, with the descriptors that came with it. None: the other side has ended."""
    line, sockets = b"", []
    try:
        while not line.endswith(b"\n"):
            data, ancillary, flags, _ = channel.recvmsg(LONGEST_ANSWER, _ROOM, socket.MSG_CMSG_CLOEXEC)
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    whole = len(content) - len(content) % array("i").itemsize
                    sockets += [socket.socket(fileno=fd) for fd in array("i", content[:whole])]
            if flags & socket.MSG_CTRUNC:
                raise _Refused("not all of its sockets arrived: raise the limit of descriptors (ulimit -n)")
            if not data:
                return None, []
            line += data
            if len(line) > LONGEST_ANSWER:
                raise _Refused("its answer has no end")
        said = json.loads(line)
        return (said if isinstance(said, dict) else {}), sockets
    except BaseException as failed:
        for sock in sockets:
            sock.close()
        if isinstance(failed, ValueError):
            raise _Refused("its answer is not understood") from None
        raise


def believed(proxy_uid: int) -> frozenset[int]:
    """The users whose proxy we take over from, besides root."""
    return frozenset({os.geteuid(), proxy_uid})
