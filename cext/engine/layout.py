"""Between the engine's C structs and the values of `cext.engine.values`."""

from __future__ import annotations

import errno
import socket
import struct
from functools import lru_cache
from typing import Any

from cext.engine._engine import ffi, lib
from cext.engine.engine import EngineError
from cext.engine.values import MAX_TEXT, Counters, Ending, Record, SocketAddress, Spoken

_ENDINGS = tuple(Ending)
_SPOKEN = tuple(Spoken)
_MAPPED = bytes(10) + b"\xff\xff"


def to_c(address: SocketAddress | None) -> dict[str, object]:
    if address is None:
        return {"family": 0}
    try:
        ip = socket.inet_pton(socket.AF_INET6 if ":" in address.ip else socket.AF_INET, address.ip)
    except OSError:
        raise ValueError(f"{address.ip!r} does not appear to be an IPv4 or IPv6 address") from None
    if ip.startswith(_MAPPED):
        ip = ip[len(_MAPPED) :]
    version = 6 if len(ip) == 16 else 4
    return {
        "ip": ip.ljust(16, b"\0"),
        "port": address.port,
        "zone": address.zone if version == 6 else 0,
        "family": version,
    }


def socket_address(ip: bytes, zone: int, port: int, family: int) -> SocketAddress | None:
    if family == 4:
        return SocketAddress(socket.inet_ntoa(ip[:4]), port)
    return SocketAddress(socket.inet_ntop(socket.AF_INET6, ip), port, zone) if family == 6 else None


known_address = lru_cache(512)(socket_address)
"""For destinations, which recur; peers' ports don't."""


def certain(address: SocketAddress | None) -> SocketAddress:
    if address is None:
        raise EngineError(errno.EAFNOSUPPORT, "a connection from or to an address that is neither IPv4 nor IPv6")
    return address


# A record is unpacked at one stroke: field by field through cffi it costs 9 us instead of 2.5, for each connection.
_ADDRESS = "16sIHH"
if MAX_TEXT != lib.TG_MAX_TEXT:
    raise ImportError("values.py and engine.h of cext/engine disagree about MAX_TEXT: rebuild the extension")
RECORD = struct.Struct(f"=5Q2q{_ADDRESS}{_ADDRESS}{_ADDRESS}IIiiqIi256s128s")
PUNT = struct.Struct(f"=iII{_ADDRESS}{_ADDRESS}")
for _layout, _name in ((RECORD, "tg_record"), (PUNT, "tg_punt")):
    if _layout.size != ffi.sizeof(_name):
        raise ImportError(f"layout.py and engine.h of cext/engine disagree about {_name}: rebuild the extension")


def _record(fields: tuple[Any, ...], live: bool) -> Record:
    (id_, verdict, group, sent, received, duration_us, connect_us, *addresses) = fields[:19]
    scope, attempts, reason, error, idle_ms, hops, spoken, server_name, alpn = fields[19:]
    peer, original, upstream = addresses[:4], addresses[4:8], addresses[8:]
    return Record(
        id_,
        scope,
        verdict,
        group,
        certain(socket_address(*peer)),
        known_address(*original),
        known_address(*upstream),
        sent,
        received,
        duration_us,
        connect_us if connect_us >= 0 else None,
        attempts,
        idle_ms,
        hops,
        None if live else _ENDINGS[reason],
        error,
        _SPOKEN[spoken],
        _text(server_name),
        _text(alpn),
    )


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode("ascii")


def records(rows: Any, count: int, live: bool) -> list[Record]:
    return [_record(fields, live) for fields in RECORD.iter_unpack(ffi.buffer(rows, count * RECORD.size))]


def counters(row: Any) -> Counters:
    return Counters(
        row.group,
        row.opened,
        row.closed,
        row.connect_failures,
        tuple(row.ended),
        row.retries,
        row.refused,
        row.bytes_sent,
        row.bytes_received,
        row.admitted,
    )
