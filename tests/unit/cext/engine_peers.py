"""What tests do at the two ends of a relay."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.unit.cext.engine_support import noise


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def fill(sock: socket.socket) -> int:
    """Write until nothing more is taken for a while; how much was."""
    sock.setblocking(False)
    sent, quiet = 0, 0
    while quiet < 20:
        try:
            sent += sock.send(noise(sent, 65_536))
            quiet = 0
        except BlockingIOError:
            quiet += 1
            time.sleep(0.01)
    sock.settimeout(10)
    return sent


def ends_by_reset(sock: socket.socket) -> bytes:
    """What still comes, provided that a reset and not a clean end comes after it."""
    got = b""
    try:
        while part := sock.recv(1 << 16):
            got += part
    except ConnectionResetError:
        return got
    pytest.fail(f"a clean end after {len(got)} bytes where a reset was due")
