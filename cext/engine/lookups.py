"""Questions of the engine about requests to an explicit proxy: where an authority is, and whether one may go there."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any, NamedTuple

from cext.engine._engine import ffi, lib
from cext.engine.engine import Engine, check
from cext.engine.layout import socket_address, to_c
from cext.engine.values import SocketAddress

_BATCH = 64
MAX_FOUND: int = lib.TG_MAX_FOUND


class Lookup(NamedTuple):
    """handle and number: for the answer. default_port: where the authority names none; 0: it has to. client: None where
    it has come through another listener of ours."""

    handle: int
    number: int
    authority: bytes
    default_port: int
    client: SocketAddress | None


class Lookups:
    """Of one engine. Any thread. Watch `fd`, readable while questions wait; the engine owns it. Each question is to be
    answered once, by `found` or `refuse`; that its client has gone meanwhile does no harm."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.fd: int = lib.tg_engine_lookup_fd(engine.handle)
        self._rows = ffi.new("tg_lookup[]", _BATCH)

    def take(self) -> list[Lookup]:
        """Some of those that wait; never blocks."""
        if self._engine.is_closed:
            return []
        count = lib.tg_engine_lookups(self._engine.handle, self._rows, _BATCH)
        return [
            Lookup(
                row.handle,
                row.number,
                ffi.buffer(row.authority, row.length)[:],
                row.default_port,
                _address(row.peer),
            )
            for row in self._rows[0:count]
        ]

    def found(self, lookup: Lookup, addresses: Sequence[SocketAddress], lasts_s: float) -> None:
        """It is at these addresses, of which MAX_FOUND are tried one after the other. lasts_s: for how long the answer
        holds for requests to the same authority on the same connection."""
        rows = [to_c(address) for address in addresses[:MAX_FOUND]]
        self._answer(lookup, {"count": len(rows), "addresses": rows, "lasts_ms": round(lasts_s * 1000)})

    def refuse(self, lookup: Lookup, status: int, flag: int, text: str) -> None:
        """The request is answered by that status, with the text for people."""
        line = text.encode("ascii", "replace")[: lib.TG_LONGEST_REASON - 1]
        self._answer(lookup, {"status": status, "flag": flag, "text": line})

    def _answer(self, lookup: Lookup, values: dict[str, object]) -> None:
        if self._engine.is_closed:
            return
        found = ffi.new("tg_found *", {"handle": lookup.handle, "number": lookup.number, **values})
        result = lib.tg_engine_found(self._engine.handle, found)
        if result != -errno.ESHUTDOWN:
            check(result, f"answering where {lookup.authority!r} is")


def _address(row: Any) -> SocketAddress | None:
    return socket_address(ffi.buffer(row.ip)[:], row.zone, row.port, row.family)
