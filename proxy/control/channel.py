"""The control channel: JSON lines over a unix stream socket, for the supervisor (`tidegate run`) and for local tools.

Each request is one line, `{"op": …}`, and gets one line back. The supervisor's channel carries events as well; they
have the key "event", answers never do.
"""

import asyncio
import json
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from proxy.core.report.log_budget import LogBudget

MAX_LINE = 64 * 1024
MAX_UNREAD = 64 * 1024 * 1024
"""Bytes kept for a supervisor that does not read. Beyond that, events are dropped, and the next one says how many."""

ANSWERED = object()
"""What an operation returns that has answered by itself."""
Operation = Callable[[Mapping[str, Any]], Any]
"""Gets the request, returns what is answered. Raises ControlError when the request is wrong."""

_UCRED = struct.Struct("3i")
_log = logging.getLogger("tidegate.control")
_refusals = LogBudget(lines=3, period_s=10.0)
"""Anybody in the network namespace can be refused as often as it likes."""


class ControlError(ValueError):
    """A request is wrong; the message goes back to who sent it."""


class ControlConnection(asyncio.Protocol):
    """One peer. on_lost is called once, when the other side has closed."""

    def __init__(self, operations: Mapping[str, Operation], on_lost: Callable[[], None]) -> None:
        self.operations = dict(operations)
        self._on_lost = on_lost
        self._received = b""
        self._dropped = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._transport = None
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            answer = self._answer(line)
            if answer is not ANSWERED:
                self._write(answer)
        if len(self._received) > MAX_LINE and self._transport is not None:
            self._write({"ok": False, "error": f"a request is one line of at most {MAX_LINE} bytes"})
            self._transport.close()

    def tell(self, event: str, **values: Any) -> None:
        """Send an event; one that the peer leaves no room for is counted and dropped."""
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            self._dropped += 1
            return
        if self._dropped:
            self._write({"event": "events-dropped", "count": self._dropped})
            self._dropped = 0
        self._write({"event": event, **values})

    def answer_with(self, message: Any, fds: list[int]) -> Any:
        """Answer the present request and show the peer these descriptors, which stay ours. Returns ANSWERED. Raises
        ControlError when they can't be sent."""
        transport = self._transport
        if transport is None or transport.get_write_buffer_size() > 0:
            raise ControlError("answers to earlier requests are not read yet")
        try:
            with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as peer:
                socket.send_fds(peer, [_line(message)], fds)
        except OSError as failed:
            raise ControlError(f"the descriptors can't be sent: {failed.strerror}") from None
        return ANSWERED

    def close(self) -> None:
        """After what is still to be written."""
        if self._transport is not None:
            self._transport.close()

    def _answer(self, line: bytes) -> Any:
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("op"), str):
                raise ControlError('a request is a JSON object with the key "op"')
            operation = self.operations.get(request["op"])
            if operation is None:
                raise ControlError(f"unknown op {request['op']!r}; known: {', '.join(sorted(self.operations))}")
            return operation(request)
        except ValueError as wrong:  # ControlError, and what json and UTF-8 raise
            return {"ok": False, "error": str(wrong)}

    def _write(self, message: Any) -> None:
        if self._transport is not None:
            self._transport.write(_line(message))


def _line(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def may_control(sock: Any) -> bool:
    """Whether the peer of a connected unix socket is root or our own user. sock: a socket or uvloop's stand-in."""
    _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if uid in (0, os.geteuid()):
        return True
    left_out = _refusals.take(time.monotonic())
    if left_out is not None:
        more = f" ({left_out} such lines left out)" if left_out else ""
        _log.warning("refused a control connection of uid %d: only root and uid %d may%s", uid, os.geteuid(), more)
    return False


class ToolConnection(ControlConnection):
    """A local tool's connection to the abstract socket: anyone may connect, so the kernel is asked who it is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not may_control(transport.get_extra_info("socket")):
            cast(asyncio.Transport, transport).abort()
