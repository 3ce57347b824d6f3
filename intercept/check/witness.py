"""Who can testify that a probe reached the proxy's listener, and for which original destination.

Three kinds: our own proxy, which answers a registered probe with a token; ourselves, where nobody listens; and the
kernel's table of sockets where somebody else's proxy listens: it shows that the connection arrived there.
"""

import json
import os
import secrets
import socket
import struct
import time
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from intercept.check.probe import Bystander, Endpoint, Result
from intercept.host.socket_table import LISTEN, rows, unmapped
from intercept.host.transparency import IP_TRANSPARENT, IPV6_TRANSPARENT

SO_ORIGINAL_DST = 80
ANSWER_S = 3.0
LONGEST_ANSWER = 4096
LOOK_S = 0.5
_UCRED = struct.Struct("3i")
SOCKADDR_IN = struct.Struct("!HH4s8x")
SOCKADDR_IN6 = struct.Struct("!HHI16sI")
ESTABLISHED_OR_LATER = {"01", "04", "05", "06", "08"}  # not SYN_RECV: a handshake that nobody finished proves nothing


@dataclass(frozen=True, slots=True)
class Testimony:
    """Whether the probe was seen where it should be. `detail` says what was seen instead, or by whom."""

    ok: bool
    detail: str


class Witness(Bystander):
    def expect(self, destination: Endpoint) -> None:
        """A probe to `destination` is about to be made."""

    def testify(self, destination: Endpoint, result: Result) -> Testimony:
        """Judge the probe that was made."""
        raise NotImplementedError

    def close(self) -> None: ...


def text_of(endpoint: Endpoint) -> str:
    address, port = endpoint
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


class OurProxy(Witness):
    """A tidegate proxy in this namespace, asked over its control socket."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel.makefile("rw", encoding="utf-8")
        self._socket = channel
        self._tokens: dict[Endpoint, str] = {}

    @classmethod
    def find(cls, outbound_port: int, proxy_uids: Collection[int]) -> "OurProxy | None":
        """None: no proxy of ours listens here. Anybody may bind its socket's name, so only root's and the proxy's own
        users' sockets are believed."""
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(ANSWER_S)
        try:
            channel.connect(f"\0tidegate/{outbound_port}")
            trusted = _peer_uid(channel) in {0, os.geteuid(), *proxy_uids}
        except OSError:
            trusted = False
        if not trusted:
            channel.close()
            return None
        return cls(channel)

    def expect(self, destination: Endpoint) -> None:
        token = secrets.token_hex(16)
        request = {"op": "expect-probe", "destination": text_of(destination), "token": token}
        self._channel.write(json.dumps(request) + "\n")
        self._channel.flush()
        # The one who asks may be root, and the proxy may have been broken into: whatever comes is bounded.
        try:
            answer = json.loads(self._channel.readline(LONGEST_ANSWER) or "{}")
        except (ValueError, RecursionError) as wrong:
            raise OSError(f"the proxy's answer is no JSON: {wrong}") from None
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            answer = answer if isinstance(answer, dict) else {}
            raise OSError(f"the proxy does not take probes: {answer.get('error', 'it closed its control socket')}")
        self._tokens[destination] = token

    def testify(self, destination: Endpoint, result: Result) -> Testimony:
        if result.answer.strip() == self._tokens[destination].encode():
            return Testimony(True, f"the proxy saw the original destination {text_of(destination)}")
        return Testimony(False, _failure(result))

    def close(self) -> None:
        self._channel.close()
        self._socket.close()


def _peer_uid(channel: socket.socket) -> int:
    """Who listened at the other end, as the kernel noted it then."""
    _, uid, _ = _UCRED.unpack(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)


class OwnListener(Witness):
    """Ourselves on the listener's port, for as long as the check takes: nobody else listens there.

    Connections that are no probes of ours are reset at once: that is what they would have met.
    """

    def __init__(self, port: int, *, transparent: bool) -> None:
        """Raises OSError when the port is taken."""
        self._tokens: dict[Endpoint, bytes] = {}
        self._seen: dict[Endpoint, Endpoint | str] = {}
        self._listeners: list[socket.socket] = []
        try:
            for family in _families():
                self._listeners.append(_listener(family, port, transparent))
        except OSError:
            self.close()
            raise

    def sockets(self) -> list[socket.socket]:
        return self._listeners

    def serve(self, ready: socket.socket) -> None:
        try:
            accepted, peer = ready.accept()
        except OSError:  # the client has gone again
            return
        with accepted:
            seen = original_destination(accepted, ready)
            self._seen[_plain(peer)] = seen
            token = self._tokens.get(seen) if not isinstance(seen, str) else None
            if token is not None:
                accepted.sendall(token)
            else:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def expect(self, destination: Endpoint) -> None:
        self._tokens[destination] = secrets.token_hex(16).encode()

    def testify(self, destination: Endpoint, result: Result) -> Testimony:
        seen = self._seen.get(result.prober) if result.prober else None
        if result.answer == self._tokens[destination]:
            return Testimony(True, f"a listener of our own saw the original destination {text_of(destination)}")
        if seen is None:
            return Testimony(False, f"it did not reach the listener: {_failure(result)}")
        return Testimony(
            False, f"it reached the listener, which saw {seen if isinstance(seen, str) else text_of(seen)}"
        )

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()


class ForeignProxy(Witness):
    """Somebody else's proxy: the kernel's socket table shows whether the connection arrived at its listener."""

    def __init__(self, listener_port: int, *, steered: bool) -> None:
        """`steered`: connections are given to the listener's socket with the addresses that were dialled."""
        self._port = listener_port
        self._steered = steered
        self._destination: Endpoint | None = None
        self._arrived: set[Endpoint] = set()

    def expect(self, destination: Endpoint) -> None:
        self._destination = destination

    def connected(self, prober: Endpoint) -> None:
        # The handshake is over for the client a moment before it is for the listener.
        deadline = time.monotonic() + LOOK_S
        while prober not in self._arrived and time.monotonic() < deadline:
            self._arrived |= {remote for local, remote in _connected() if self._is_the_listeners(local)}

    def testify(self, destination: Endpoint, result: Result) -> Testimony:  # noqa: ARG002
        if result.prober in self._arrived:
            return Testimony(True, f"the proxy on port {self._port} has the connection")
        return Testimony(False, _failure(result))

    def _is_the_listeners(self, local: Endpoint) -> bool:
        return local[1] == self._port or (self._steered and local == self._destination)


def _failure(result: Result) -> str:
    if result.detail:
        return result.detail
    return f"somebody else answered: {result.answer[:60]!r}" if result.answer else "nobody answered"


def original_destination(accepted: socket.socket, listener: socket.socket) -> Endpoint | str:
    """What a captured socket was meant for, or in words what was found instead."""
    level = socket.IPPROTO_IPV6 if accepted.family == socket.AF_INET6 else socket.IPPROTO_IP
    here = _plain(accepted.getsockname())
    if here[1] != listener.getsockname()[1]:
        return here  # steered to the socket: its own address is the one that was dialled
    try:
        raw = accepted.getsockopt(level, SO_ORIGINAL_DST, 28)
    except OSError as error:
        return f"no original destination ({error.strerror})"
    if level == socket.IPPROTO_IPV6:
        _, port, _, address, _ = SOCKADDR_IN6.unpack(raw[: SOCKADDR_IN6.size])
        return IPv6Address(address), port
    _, port, address = SOCKADDR_IN.unpack(raw[: SOCKADDR_IN.size])
    return IPv4Address(address), port


def listens(port: int) -> bool:
    """Whether any process of this namespace listens on `port` (TCP)."""
    return any(row.state == LISTEN and row.local[1] == port for row in rows())


def _connected() -> list[tuple[Endpoint, Endpoint]]:
    return [(row.local, row.remote) for row in rows() if row.state in ESTABLISHED_OR_LATER]


def _plain(name: tuple[str, int] | tuple[str, int, int, int]) -> Endpoint:
    return unmapped(ip_address(name[0].partition("%")[0])), name[1]


def _families() -> list[socket.AddressFamily]:
    return [socket.AF_INET, *([socket.AF_INET6] if Path("/proc/thread-self/net/if_inet6").exists() else [])]


def _listener(family: socket.AddressFamily, port: int, transparent: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if transparent:
            level, name = (
                (socket.IPPROTO_IPV6, IPV6_TRANSPARENT)
                if family == socket.AF_INET6
                else (socket.IPPROTO_IP, IP_TRANSPARENT)
            )
            listener.setsockopt(level, name, 1)
        listener.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
        listener.listen(64)
    except OSError:
        listener.close()
        raise
    return listener
