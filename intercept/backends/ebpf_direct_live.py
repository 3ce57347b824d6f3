"""The direct lane's open connections: which they are our map knows, what they have moved the kernel's sock_diag."""

import socket
import struct
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bpf import direct_layout
from bpf.direct_layout import Live
from cext import libbpf
from intercept.backends.ebpf_direct import in_force
from intercept.listeners_here import answers, attributes

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DUMP = 4, 20, 0x301
_HEADER = struct.Struct("=IHHII")
_MESSAGE_SIZE = 72
_COOKIE_AT = 44
_INFO = 2
_LISTEN = 10
_FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT, _LAST_ACK, _CLOSING = 4, 5, 8, 9, 11


class DirectConnection(NamedTuple):
    """inbound: from a client to the workload; endpoint is then the workload's own, and service 0."""

    inbound: bool
    service: int
    endpoint: tuple[str, int]
    client: tuple[str, int]
    established: bool
    age_s: float
    bytes_sent: int
    bytes_received: int
    retransmits: int
    srtt_us: int


class Moved(NamedTuple):
    """What sock_diag tells of one socket, the payload only."""

    sent: int
    received: int
    retransmits: int
    srtt_us: int


def connections(*, name: str = "tidegate") -> list[DirectConnection]:
    """Those that are open, of the capture that is in force here. Raises CaptureError."""
    with in_force(name) as maps:
        return connections_of(maps)


def connections_of(maps: Mapping[str, int]) -> list[DirectConnection]:
    """Must be called in the capture's network namespace, whose sockets are asked for."""
    fd = maps["tg_live_connections"]
    keys = libbpf.map_keys(fd, 8)
    if not keys:
        return []
    moved = dict(_moved_here())
    now = time.monotonic_ns()
    found = []
    for key in keys:
        value = libbpf.map_lookup(fd, key, direct_layout.LIVE_SIZE)
        if value is None:
            continue  # ended meanwhile
        live = direct_layout.live(key, value)
        if live.cookie in moved:
            found.append(_connection(live, moved[live.cookie], now))
    return found


def _connection(live: Live, moved: Moved, now: int) -> DirectConnection:
    inbound = live.service == direct_layout.INBOUND_SERVICE
    syn = 0 if inbound else 1
    return DirectConnection(
        inbound=inbound,
        service=0 if inbound else live.service,
        endpoint=live.local if inbound else live.endpoint,
        client=live.remote if inbound else live.local,
        established=live.established,
        age_s=(now - live.begun_ns) / 1e9,
        bytes_sent=max(0, moved.sent - syn),
        bytes_received=moved.received,
        retransmits=moved.retransmits,
        srtt_us=moved.srtt_us,
    )


def _moved_here() -> Iterator[tuple[int, Moved]]:
    """By cookie, of every TCP socket of this network namespace that is connected or tries to be."""
    states = 0xFFF & ~(1 << _LISTEN)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as diag:
        for family in (socket.AF_INET, socket.AF_INET6):
            extensions = 1 << (_INFO - 1)
            body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, extensions, 0, states) + bytes(48)
            diag.send(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _DUMP, 1, 0) + body)
            for message in answers(diag):
                (cookie,) = struct.unpack_from("=Q", message, _COOKIE_AT)
                info = dict(attributes(message[_MESSAGE_SIZE:])).get(_INFO)
                if info is not None:
                    yield cookie, read_info(message[1], info)


def read_info(state: int, info: bytes) -> Moved:
    """struct tcp_info, in that state of the socket: a FIN counts as a byte there, as in bpf/measure.h. Pure."""
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
