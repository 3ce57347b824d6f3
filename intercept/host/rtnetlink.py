"""Addresses of an interface and rules of routing, asked of the kernel in its own words.

pyroute2 can do this too, but costs `init` as long to import as everything else that it does.
"""

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv6Address

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST, _ACK, _EXCL, _DUMP, _CREATE = 0x1, 0x4, 0x200, 0x300, 0x400
RTM_GETRULE, _RULE_SIZE, _FRA_PRIORITY, _FRA_PROTOCOL = 34, 12, 6, 21
_IFA_ADDRESS, _IFA_CACHEINFO, _IFA_RT_PRIORITY = 1, 6, 9
_MESSAGE = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_FOREVER = 2**32 - 1
_ANSWERS_WITHIN_S = 10.0


def add_address(address: IPv6Address, index: int, metric: int) -> None:
    """As a host's, valid for ever and preferred never. OSError as the kernel gives it (EEXIST, EPERM …)."""
    cacheinfo = _attribute(_IFA_CACHEINFO, struct.pack("=IIII", 0, _FOREVER, 0, 0))
    body = _host(address, index) + _attribute(_IFA_RT_PRIORITY, struct.pack("=I", metric)) + cacheinfo
    _talk(RTM_NEWADDR, _ACK | _CREATE | _EXCL, body)


def delete_address(address: IPv6Address, index: int) -> None:
    """OSError as the kernel gives it (EADDRNOTAVAIL, EPERM …)."""
    _talk(RTM_DELADDR, _ACK, _host(address, index))


def metric_of(address: IPv6Address, index: int) -> int | None:
    """None: the interface hasn't that address. 0: it has no metric of its own."""
    asked = _ADDRESS.pack(socket.AF_INET6, 0, 0, 0, 0)
    for answer in _talk(RTM_GETADDR, _DUMP, asked):
        *_, on = _ADDRESS.unpack_from(answer)
        attributes = dict(_attributes(answer[_ADDRESS.size :]))
        if on == index and attributes.get(_IFA_ADDRESS) == address.packed:
            return int.from_bytes(attributes.get(_IFA_RT_PRIORITY, b""), sys.byteorder)
    return None


def rule_priorities(family: int) -> list[int]:
    """Of the routing rules of one address family; none where the kernel has no rules."""
    return [int.from_bytes(rule.get(_FRA_PRIORITY, bytes(4)), sys.byteorder) for rule in _rules(family)]


def rule_protocols(family: int) -> set[int]:
    """Who made those rules, as the kernel stores it."""
    return {rule.get(_FRA_PROTOCOL, b"\0")[0] for rule in _rules(family)}


def _rules(family: int) -> list[dict[int, bytes]]:
    try:
        answers = _talk(RTM_GETRULE, _DUMP, struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0))
    except OSError:
        return []
    return [dict(_attributes(answer[_RULE_SIZE:])) for answer in answers]


def _host(address: IPv6Address, index: int) -> bytes:
    return _ADDRESS.pack(socket.AF_INET6, 128, 0, 0, index) + _attribute(_IFA_ADDRESS, address.packed)


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[max(length + 3 & ~3, _ATTRIBUTE.size) :]


def _talk(kind: int, flags: int, body: bytes) -> list[bytes]:
    """The payloads of what a dump gives, nothing for a change."""
    answers: list[bytes] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(_ANSWERS_WITHIN_S)
        sock.bind((0, 0))
        sock.send(_MESSAGE.pack(_MESSAGE.size + len(body), kind, _REQUEST | flags, 1, 0) + body)
        while True:
            for message, payload in _messages(sock.recv(65536)):
                if message == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", payload)[0]
                    if code:
                        raise OSError(code, errno.errorcode.get(code, str(code)))
                    return answers
                if message == _NLMSG_DONE:
                    return answers
                answers.append(payload)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _MESSAGE.size:
        length, kind, *_ = _MESSAGE.unpack_from(data)
        yield kind, data[_MESSAGE.size : length]
        data = data[max(length + 3 & ~3, _MESSAGE.size) :]
