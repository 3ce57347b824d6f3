"""How many connections are let in: pauses and resumes the listeners. Paused, new connections wait in the backlog."""

import asyncio
from collections.abc import Callable

from proxy.core.limits import resume_below
from proxy.io.listener import Listener

RETRY_S = 0.1
"""After running out of descriptors or memory, which others may free as well as we."""

AT_LIMIT = "max-connections"
NO_RESOURCES = "resources"


class Intake:
    """Counts active connections and holds the listeners. Belongs to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int, on_pause: Callable[[str], None]) -> None:
        """on_pause is called with AT_LIMIT or NO_RESOURCES whenever accepting pauses."""
        self.limit = limit
        self.active = 0
        self.listeners: list[Listener] = []
        self.serve_waiting: Callable[[], bool] = lambda: True
        """Asked before accepting goes on: gives descriptors to connections that wait for them. False: some still do."""
        self.closed = False
        self._resume_below = resume_below(limit)
        self._loop = loop
        self._on_pause = on_pause
        self._paused = ""
        self._resuming = False
        self._retry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        for listener in self.listeners:
            listener.resume()

    def close(self) -> None:
        """Stop accepting for good; what waits in the backlogs is taken in first, as far as the limit allows."""
        if self.closed:
            return
        for listener in self.listeners:
            listener.close(drain_backlog=True)
        self.closed = True  # a retry that is armed goes on: connections taken in may wait for a descriptor

    def took(self) -> bool:
        """One more connection is active. False: no more for now."""
        self.active += 1
        if self.active >= self.limit:
            self._pause(AT_LIMIT)
        return not self._paused

    def released(self) -> None:
        """One connection fewer is active."""
        self.active -= 1
        if self._paused and self.active < self._resume_below and not self._resuming:
            self._resume()

    def exhausted(self, _error: int) -> None:
        """Descriptors or memory ran out."""
        self._pause(NO_RESOURCES)
        self._arm_retry()

    def _pause(self, reason: str) -> None:
        if self._paused:
            return
        self._paused = reason
        self._on_pause(reason)
        for listener in self.listeners:
            listener.pause()

    def _try_again(self) -> None:
        self._retry = None
        if self._paused:
            # At the limit of connections nobody waits for a descriptor any more once this is true.
            if self.active < self.limit:
                self._resume()
            elif not self.serve_waiting():
                self._arm_retry()

    def _resume(self) -> None:
        self._resuming = True  # serving those that wait may end connections, and bring us here again
        served = self.serve_waiting()
        self._resuming = False
        if not served:
            self._arm_retry()
            return
        self._paused = ""
        self._cancel_retry()
        if not self.closed:
            self.open()

    def _arm_retry(self) -> None:
        if self._retry is None:
            self._retry = self._loop.call_later(RETRY_S, self._try_again)

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
