"""Names become addresses, in threads: the resolver of the C library blocks, the event loop must not."""

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from proxy.core.addresses import Address, from_sockaddr

THREADS = 8
MOST_WAITING = 512
"""Names that are looked up at a time; more are refused at once."""
MOST_KNOWN = 1024
FOUND_S, MISSING_S = 5.0, 1.0
"""For how long an answer is remembered: the C library does not tell how long it holds."""


class Unresolved(Exception):
    """The name has no address, or nobody said so in time."""


class TooManyNames(Unresolved):
    """MOST_WAITING are being looked up."""


class Resolver:
    """Belongs to the event loop. One look-up of a name at a time, whoever asks for it."""

    def __init__(self, timeout_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._now = now
        self._threads = ThreadPoolExecutor(THREADS, "resolve")
        self._waiting: dict[str, asyncio.Future[list[str]]] = {}
        self._known: dict[str, tuple[float, list[str]]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """At least one. Raises Unresolved."""
        until, known = self._known.get(host, (0.0, []))
        if self._now() >= until:
            known = await self._look_up(host)
        if not known:
            raise Unresolved("the name does not resolve")
        return [Address(ip, port) for ip in known]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str) -> list[str]:
        waiting = self._waiting.get(host)
        if waiting is None:
            if len(self._waiting) >= MOST_WAITING:
                raise TooManyNames("too many names are being looked up")
            loop = asyncio.get_running_loop()
            waiting = self._waiting[host] = loop.run_in_executor(self._threads, _addresses, host)
            waiting.add_done_callback(lambda done: self._done(host, done))
        try:
            return await asyncio.wait_for(asyncio.shield(waiting), self._timeout_s)
        except TimeoutError:
            raise Unresolved("the name did not resolve in time") from None

    def _done(self, host: str, done: "asyncio.Future[list[str]]") -> None:
        self._waiting.pop(host, None)
        if done.cancelled() or done.exception() is not None:
            return
        found = done.result()
        if len(self._known) >= MOST_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[host] = (self._now() + (FOUND_S if found else MISSING_S), found)


def _addresses(host: str) -> list[str]:
    """In the order in which the system prefers them; none where it does not resolve."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(from_sockaddr(sockaddr).ip for *_, sockaddr in found))  # type: ignore[arg-type]
