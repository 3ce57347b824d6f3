"""Which user a client on this machine is: the kernel is asked who owns the socket at the other end.

It is asked by sock_diag, with 72 bytes of our own making: the library that could (pyroute2) takes 0.3 s and 11 MB to
import, and would have to be imported before the proxy becomes a user who may not read it.
"""

import errno
import logging
import socket
import struct
from pathlib import Path

from proxy.core.addresses import Address

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = 1
_HEAD = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBxI")
_PORTS = struct.Struct("!HH")
_ANSWER = struct.Struct("=BBBB48sIIIII")
_ERROR = struct.Struct("=i")
_NLMSG_ERROR = 2
_ANY_COOKIE = b"\xff" * 8
_CONNECTED = {1, 4, 5, 8}
"""ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT: a client that waits for an answer."""

_log = logging.getLogger("tidegate.admin")


class Callers:
    """Owns a netlink socket until `close`."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
        self._socket.settimeout(1.0)  # the kernel answers within the call; this is for the case that it does not
        self._said = False

    def close(self) -> None:
        self._socket.close()

    def uid_of(self, client: Address, server: Address) -> int | None:
        """Who owns the client's socket of a connection to us. None: nobody does any more, or it is not on this host."""
        found = self._ask(client, server)
        if found is None and self._ask(server, client) is None:
            # Our own end is there for certain, so it is the kernel that has no answers.
            if not self._said:
                self._said = True
                _log.warning("the kernel has no tcp_diag: /proc/net/tcp tells who calls instead, which is slower")
            found = _from_proc(client, server)
        if found is None:
            return None
        state, uid, inode = found
        # A socket that its owner has closed belongs to nobody, and the kernel then shows root as its user.
        return uid if state in _CONNECTED and inode else None

    def _ask(self, local: Address, remote: Address) -> tuple[int, int, int] | None:
        """State, user and inode of the TCP socket with these addresses."""
        family = socket.AF_INET6 if local.is_ipv6 else socket.AF_INET
        addresses = b"".join(socket.inet_pton(family, one.ip).ljust(16, b"\0") for one in (local, remote))
        body = (
            _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
            + _PORTS.pack(local.port, remote.port)
            + addresses
            + struct.pack("=I", local.scope)
            + _ANY_COOKIE
        )
        self._socket.send(_HEAD.pack(_HEAD.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST, 0, 0) + body)
        reply = self._socket.recv(4096)
        _, kind, _, _, _ = _HEAD.unpack_from(reply)
        if kind == _NLMSG_ERROR:
            (error,) = _ERROR.unpack_from(reply, _HEAD.size)
            if -error != errno.ENOENT:
                _log.debug("sock_diag: error %d", -error)
            return None
        _, state, _, _, identity, _, _, _, uid, inode = _ANSWER.unpack_from(reply, _HEAD.size)
        # Where no connection has these addresses, a listener at the local one is found instead.
        return (state, uid, inode) if _PORTS.unpack_from(identity) == (local.port, remote.port) else None


def _from_proc(local: Address, remote: Address) -> tuple[int, int, int] | None:
    """The same from the kernel's table for people, all of which is read. An IPv6 socket carries IPv4 mapped."""
    wanted = {f"{_hex(local)} {_hex(remote)}"}
    files = ["tcp6"]
    if not local.is_ipv6:
        wanted.add(f"{_hex(local, mapped=True)} {_hex(remote, mapped=True)}")
        files.append("tcp")
    for name in files:
        for line in Path("/proc/self/net", name).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if f"{fields[1]} {fields[2]}" in wanted:
                return int(fields[3], 16), int(fields[7]), int(fields[9])
    return None


def _hex(address: Address, *, mapped: bool = False) -> str:
    family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
    raw = socket.inet_pton(family, address.ip)
    if mapped:
        raw = b"\0" * 10 + b"\xff\xff" + raw
    words = struct.unpack(f"={len(raw) // 4}I", raw)
    return "".join(f"{word:08X}" for word in words) + f":{address.port:04X}"
