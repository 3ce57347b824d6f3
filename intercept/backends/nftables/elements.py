"""Elements of uid and gid sets, handed to the kernel as numbers.

nft itself asks the name service about every id it reads, "1337" too: that may block for as long as a name service
likes, and gives another id where somebody is called 1337. So the ids never pass through nft's text.
"""

import os
import struct
from _socket import socket
from collections.abc import Iterable, Iterator

from intercept.errors import CaptureError
from intercept.intent.intent import IdRange

_NFPROTO_INET = 1
_NFNL_SUBSYS_NFTABLES = 10
_BATCH_BEGIN, _BATCH_END = 16, 17
_NEWSETELEM = 12
_REQUEST, _ACK, _CREATE = 0x1, 0x4, 0x400
_NESTED = 0x8000
_ERROR = 2
_INTERVAL_END = 1
_ELEMENTS_A_MESSAGE = 500
_ALL_ONES = 2**32 - 1


def add_ids(netlink: socket, table: str, sets: dict[str, tuple[IdRange, ...]]) -> None:
    """Put the ranges into interval sets that exist in inet `table`, in one transaction of its own.

    `netlink` stays the caller's; it is the socket that owns the table, if any does. Raises CaptureError.
    """
    messages = [_elements(table, name, part) for name, ranges in sets.items() for part in _parts(ranges)]
    if not messages:
        return
    of_batch = struct.pack(">BBH", 0, 0, _NFNL_SUBSYS_NFTABLES)
    of_inet = struct.pack(">BBH", _NFPROTO_INET, 0, 0)
    batch = bytearray(_message(_BATCH_BEGIN, _REQUEST, of_batch))
    for body in messages:
        batch += _message(_NFNL_SUBSYS_NFTABLES << 8 | _NEWSETELEM, _REQUEST | _CREATE | _ACK, of_inet + body)
    batch += _message(_BATCH_END, _REQUEST, of_batch)
    try:
        netlink.send(bytes(batch))
        failed = _await_answers(netlink, len(messages))
    except OSError as error:
        failed = error.errno or 0
    if failed:
        raise CaptureError(f"cannot put user and group ids into table {table}: {os.strerror(failed)}")


def _await_answers(netlink: socket, expected: int) -> int:
    """The first error number, 0 for none."""
    failed = 0
    while expected:
        answer = netlink.recv(65536)
        offset = 0
        while offset + 20 <= len(answer):
            length, kind, _flags, _number, _port, code = struct.unpack_from("=IHHIIi", answer, offset)
            if kind == _ERROR:
                failed = failed or -code
                expected -= 1
            offset += (length + 3) & ~3
    return failed


def _parts(ranges: tuple[IdRange, ...]) -> Iterator[tuple[IdRange, ...]]:
    for start in range(0, len(ranges), _ELEMENTS_A_MESSAGE):
        yield ranges[start : start + _ELEMENTS_A_MESSAGE]


def _elements(table: str, name: str, ranges: Iterable[IdRange]) -> bytes:
    elements = b"".join(_element(one.first, 0) + _end_of(one) for one in ranges)
    return _string(1, table) + _string(2, name) + _attribute(3 | _NESTED, elements)


def _end_of(one: IdRange) -> bytes:
    # The end is the first id that is outside; no id is above the highest one, so that range needs no end.
    return b"" if one.last == _ALL_ONES else _element(one.last + 1, _INTERVAL_END)


def _element(value: int, flags: int) -> bytes:
    # Keys of interval sets are compared in network byte order.
    key = _attribute(1 | _NESTED, _attribute(1, struct.pack(">I", value)))
    return _attribute(1 | _NESTED, key + (_attribute(3, struct.pack(">I", flags)) if flags else b""))


def _string(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _attribute(kind: int, body: bytes) -> bytes:
    length = 4 + len(body)
    return struct.pack("=HH", length, kind) + body + b"\0" * (-length % 4)


def _message(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, 0, 0) + payload
