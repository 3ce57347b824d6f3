"""The direct lane's open connections: sock_diag tells of every socket what we keep on it, and what it has moved."""

import socket
import struct
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bpf import direct_layout
from bpf.direct_layout import Balanced
from intercept.backends.ebpf.direct.services import in_force
from intercept.backends.kernel_lane import KernelConnection
from intercept.host.listeners import answers, attributes

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DUMP = 4, 20, 0x301
_HEADER = struct.Struct("=IHHII")
_MESSAGE_SIZE = 72
_REQUEST_STORAGES, _REQUEST_MAP_FD, _NESTED = 2, 1, 1 << 15
_INFO, _STORAGES, _STORAGE, _VALUE = 2, 20, 1, 3
_STATES = 0xFFF & ~(1 << 10)  # all but listening
_FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT, _LAST_ACK, _CLOSING = 4, 5, 8, 9, 11


class Moved(NamedTuple):
    """What the kernel itself counts of a socket, without FINs."""

    sent: int
    received: int
    retransmits: int
    srtt_us: int


def connections(*, name: str = "tidegate") -> list[KernelConnection]:
    """Those that are open, of the capture that is in force here. Raises CaptureError."""
    with in_force(name) as maps:
        return connections_of(maps)


def connections_of(maps: Mapping[str, int]) -> list[KernelConnection]:
    """Must be called in the capture's network namespace, whose sockets are asked for. Linux 5.7."""
    now = time.monotonic_ns()
    found = []
    for message, told in _sockets_here(maps["tg_balanced_as"]):
        kept = _kept(told)
        if kept is not None and kept.begun and _INFO in told:
            found.append(_connection(message, kept, read_info(message[1], told[_INFO]), now))
    return found


def _connection(message: bytes, kept: Balanced, moved: Moved, now: int) -> KernelConnection:
    inbound = kept.service == direct_layout.INBOUND_SERVICE
    local, remote = _ends(message)
    return KernelConnection(
        inbound=inbound,
        service=0 if inbound else kept.service,
        endpoint=local if inbound else kept.endpoint,
        client=remote if inbound else local,
        established=kept.established,
        age_s=max(0, now - kept.begun_ns) / 1e9,
        bytes_sent=max(0, moved.sent - kept.syn),
        bytes_received=moved.received,
        retransmits=moved.retransmits,
        srtt_us=moved.srtt_us,
    )


def _sockets_here(fd: int) -> Iterator[tuple[bytes, dict[int, bytes]]]:
    """(inet_diag_msg, its attributes) of every TCP socket of this network namespace that is connected or tries to be,
    with what that map keeps on it."""
    asked = struct.pack("=HHHHI", 12, _REQUEST_STORAGES | _NESTED, 8, _REQUEST_MAP_FD, fd)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as diag:
        for family in (socket.AF_INET, socket.AF_INET6):
            body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 1 << (_INFO - 1), 0, _STATES) + bytes(48) + asked
            diag.send(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _DUMP, 1, 0) + body)
            for message in answers(diag):
                yield message, {kind & ~_NESTED: data for kind, data in attributes(message[_MESSAGE_SIZE:])}


def _kept(told: Mapping[int, bytes]) -> Balanced | None:
    for kind, storage in attributes(told.get(_STORAGES, b"")):
        if kind & ~_NESTED == _STORAGE:
            value = dict(attributes(storage)).get(_VALUE)
            if value is not None:
                return direct_layout.balanced(value)
    return None


def _ends(message: bytes) -> tuple[tuple[str, int], tuple[str, int]]:
    """Local and remote, a v4-mapped address as IPv4."""
    ports = struct.unpack_from("!HH", message, 4)
    if message[0] == socket.AF_INET:
        return (
            (socket.inet_ntop(socket.AF_INET, message[8:12]), ports[0]),
            (socket.inet_ntop(socket.AF_INET, message[24:28]), ports[1]),
        )
    local, remote = (direct_layout.host_and_port(message[at : at + 16] + bytes(4))[0] for at in (8, 24))
    return (local, ports[0]), (remote, ports[1])


def read_info(state: int, info: bytes) -> Moved:
    """struct tcp_info, in that state of the socket: there a FIN counts as a byte, as in
    bpf/include/direct/measure.h. Pure."""
    (unacknowledged,) = struct.unpack_from("=I", info, 24)
    (srtt_us,) = struct.unpack_from("=I", info, 68)
    (retransmits,) = struct.unpack_from("=I", info, 100)
    acknowledged, arrived = struct.unpack_from("=QQ", info, 120)
    fin_acknowledged = state == _FIN_WAIT2 or (state in (_FIN_WAIT1, _CLOSING, _LAST_ACK) and not unacknowledged)
    fin_received = state in (_CLOSE_WAIT, _LAST_ACK, _CLOSING)
    return Moved(
        sent=max(0, acknowledged - fin_acknowledged),
        received=max(0, arrived - fin_received),
        retransmits=retransmits,
        srtt_us=srtt_us,
    )
