"""Reading configuration again while serving: on request, and when its files change. Reading and compiling happen in a
thread of their own; the loop exchanges one value for another. What is wrong is refused whole, and the old stays."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from proxy.core.policy.policy import NO_POLICY, Policy
from proxy.feed.file_watch import FileWatch
from proxy.feed.source import PolicyRefused, PolicySource

POLL_S = 1.0
"""How often files are looked at: no notice may come for links to elsewhere and network file systems."""
REST_S = 0.02
"""Between two looks, however often the kernel calls: others may be busy in the same folder."""

_log = logging.getLogger("mesh")


@dataclass(frozen=True, slots=True)
class Refused:
    at: float
    """Seconds since the epoch."""
    errors: tuple[str, ...]


class Reloader:
    """Belongs to the event loop. put_in_force gets every policy that was read again and differs from the last."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: PolicySource,
        first: tuple[Policy, tuple[str, ...]],
        put_in_force: Callable[[Policy], None],
        told: Callable[[bool], None],
    ) -> None:
        """first: what was read before the loop existed; it is in force already. told: hears of each later reading,
        whether it was accepted."""
        self.policy, self.warnings = first
        self.loaded_at = time.time()
        self.refused: Refused | None = None
        """The last attempt, when it was refused."""
        self.names = source.names
        self._before = NO_POLICY
        self._loop = loop
        self._source = source
        self._put_in_force = put_in_force
        self._told = told
        self._thread = ThreadPoolExecutor(1, "config")
        self._wake = asyncio.Event()
        self._asked = False
        self._watch = FileWatch(source.folders())
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        for warning in self.warnings:
            _log.warning("%s", warning)
        for what in self._source.unreadable():
            _log.warning("%s: a change of it can't be read later on", what)
        if self._watch.fd >= 0:
            self._loop.add_reader(self._watch.fd, self._noticed)
        self._task = self._loop.create_task(self._run())

    def request(self) -> None:
        """Read again, whether anything seems changed or not."""
        _log.info("reading the configuration again")
        self._asked = True
        self._wake.set()

    def unpublished(self, policy: Policy, defect: Exception) -> None:
        """A policy that was read could not be published: what was in force before stays."""
        if policy is self.policy:
            self.policy = self._before
        self._refuse((f"internal error: {defect!r}",))

    def close(self) -> None:
        if self._watch.fd >= 0:
            self._loop.remove_reader(self._watch.fd)
        self._watch.close()
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _noticed(self) -> None:
        self._watch.forget()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            self._wake.clear()
            asked, self._asked = self._asked, False
            if asked or await self._loop.run_in_executor(self._thread, self._source.changed):
                await self._reload()
            await asyncio.sleep(REST_S)

    async def _reload(self) -> None:
        try:
            policy, self.warnings = await self._loop.run_in_executor(self._thread, self._source.load)
        except PolicyRefused as refused:
            self._refuse(refused.messages)
            return
        except Exception as failed:
            # Nothing that is in a file may end the proxy; what escapes the reader's own errors is a defect, told whole.
            _log.exception("reading the configuration failed")
            self._refuse((f"internal error: {failed!r}",))
            return
        self.refused = None
        self.loaded_at = time.time()
        self._told(True)
        for warning in self.warnings:
            _log.warning("%s", warning)
        if policy.digest == self.policy.digest:
            _log.info("configuration read again: nothing changed (%s)", policy.digest)
            return
        self._before, self.policy = self.policy, policy
        self._put_in_force(policy)
        _log.info("configuration %s is in force: %d destinations", policy.digest, len(policy.outbound))

    def _refuse(self, errors: tuple[str, ...]) -> None:
        self.refused = Refused(time.time(), errors)
        self._told(False)
        _log.error(
            "the new configuration is refused, the old one (%s) stays in force: %s", self.policy.digest, errors[0]
        )
        for error in errors[1:]:
            _log.error("%s", error)
