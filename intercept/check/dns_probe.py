"""Does a DNS question over UDP reach the proxy's DNS port? Answered by ourselves, on request, where nobody listens."""

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

QUESTION = bytes.fromhex("7467010000010000000000000474696465 04676174650000010001".replace(" ", ""))
"""A query for tide.gate, type A, with the id `tg`."""


def ask(
    server: str, port: int, prepare: Callable[[], None], timeout_s: float, *, stand_in: bool
) -> tuple[bool, str] | None:
    """Ask `server`:53 from a forked process after `prepare`; whether it came to the DNS listener, and what was seen.

    Where a process listens on `port` already, an answer of any kind is taken for its: only a captured question to this
    server can be answered at all, because nobody serves DNS at the address asked. Where nobody listens we answer
    ourselves if `stand_in` says so; else None.
    """
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    ours = _bound(family, port)
    if ours is not None and not stand_in:
        ours.close()
        return None
    news, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(news)
        _ask(family, server, prepare, timeout_s, tell)
    os.close(tell)
    try:
        return _await(news, ours, timeout_s)
    finally:
        os.close(news)
        if ours is not None:
            ours.close()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _await(news: int, ours: socket.socket | None, timeout_s: float) -> tuple[bool, str]:
    reached = False
    deadline = time.monotonic() + 2 * timeout_s
    while (left := deadline - time.monotonic()) > 0:
        watched = [news] if ours is None else [news, ours.fileno()]
        ready, _, _ = select.select(watched, [], [], left)
        if ours is not None and ours.fileno() in ready:
            reached = _answer(ours) or reached
        if news in ready:
            told = os.read(news, 512).decode()
            if told != "answered":
                return False, f"the question was not answered: {told or 'the prober ended'}"
            if ours is None:
                return True, "the DNS listener answered"
            return reached, "a listener of our own got the question" if reached else "somebody else answered"
    return False, "no answer in time"


def _answer(ours: socket.socket) -> bool:
    """Answer one question with itself; whether it was ours."""
    question, asker = ours.recvfrom(512)
    ours.sendto(question, asker)
    return question == QUESTION


def _ask(
    family: socket.AddressFamily,
    server: str,
    prepare: Callable[[], None],
    timeout_s: float,
    tell: int,
) -> None:
    """In the child, and it never returns."""
    try:
        prepare()
        with socket.socket(family, socket.SOCK_DGRAM) as asker:
            asker.settimeout(timeout_s)
            asker.connect((server, 53))
            asker.send(QUESTION)
            answer = asker.recv(512)
            os.write(tell, b"answered" if answer else b"an empty answer")
    except OSError as error:
        os.write(tell, str(error).encode()[:500])
    finally:
        os._exit(0)


def _bound(family: socket.AddressFamily, port: int) -> socket.socket | None:
    """A socket on the DNS port, or None: a process has it already."""
    listener = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        # Where captured questions arrive. A wildcard socket would answer from whatever address routing prefers.
        listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
    except OSError:
        listener.close()
        return None
    return listener
