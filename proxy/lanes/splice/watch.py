"""Hears of what the engine has to tell. What ended is told in batches: each wake-up of the loop costs as much as
telling of several connections, and nobody waits for a line in a log."""

import asyncio
from collections.abc import Callable

from cext.engine.engine import Engine

LEISURE_S = 0.02


class EngineWatch:
    """Belongs to the event loop. urgent: called when completions or punts wait. leisurely: when records do, a little
    later; both are called again while there is more."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        engine: Engine,
        urgent: Callable[[], None],
        leisurely: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._engine = engine
        self._urgent = urgent
        self._leisurely = leisurely
        self._later: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._loop.add_reader(self._engine.completion_fd, self._urgent)
        self._loop.add_reader(self._engine.record_fd, self._records_wait)

    def stop(self) -> None:
        """Before the engine is closed, which closes the descriptors."""
        self._loop.remove_reader(self._engine.completion_fd)
        self._loop.remove_reader(self._engine.record_fd)
        if self._later is not None:
            self._later.cancel()

    def _records_wait(self) -> None:
        # Level-triggered: it would be called over and over until the records are taken.
        self._loop.remove_reader(self._engine.record_fd)
        self._later = self._loop.call_later(LEISURE_S, self._take_records)

    def _take_records(self) -> None:
        self._later = None
        try:
            self._leisurely()
        finally:  # whatever is wrong with one record, the next ones are to be heard of
            self._loop.add_reader(self._engine.record_fd, self._records_wait)
