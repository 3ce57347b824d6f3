"""What a source of policy pushes to: a policy that was read, or why what it read is refused. Whatever comes, the proxy
goes on with what is in force, shows what is wrong, and takes the next change."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.core.policy.policy import Policy
from proxy.feed.follow import Changed, Follower
from proxy.feed.overrides import Override, Overrides
from proxy.feed.source import Change, Configured, PolicyRefused

_log = logging.getLogger("mesh")


@dataclass(frozen=True, slots=True)
class Refused:
    at: float
    """Seconds since the epoch."""
    errors: tuple[str, ...]


class Feed:
    """Belongs to the event loop; `push` and `refuse` may be called from any thread. put_in_force gets every policy that
    differs from the one before. told: hears of each attempt of the source, whether it was accepted."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        configured: Configured,
        put_in_force: Callable[[Policy], None],
        told: Callable[[bool], None],
    ) -> None:
        """configured: what was read before the loop existed; it is put in force by the caller."""
        self.names = configured.source.names
        self.policy, self.warnings = configured.policy, configured.warnings
        """policy: the one in force, or the first one while it is being published."""
        self.loaded_at = time.time()
        self.refused: Refused | None = None
        """The last attempt, when it was refused."""
        self._loop = loop
        self._source = configured.source
        self._put_in_force = put_in_force
        self._told = told
        self._wanted = configured.policy
        self._read = configured.policy
        """What the source said last, without what was changed at run time."""
        self._overrides = Overrides()
        self._waiting: list[asyncio.Future[None]] = []
        self._follower = Follower(configured.source, self.push, self.refuse)

    def start(self) -> None:
        for warning in self.warnings:
            _log.warning("%s", warning)
        for what in self._source.unreadable():
            _log.warning("%s: a change of it can't be read later on", what)
        self._follower.start()

    def request(self) -> None:
        """Have the source read again, whether anything seems changed or not."""
        _log.info("reading the configuration again")
        self._follower.request()

    def close(self) -> None:
        self._follower.close()

    async def override(self, change: Override) -> None:
        """Change something at run time; returns when it is in force. Raises ValueError where it does not fit what is
        configured, RuntimeError where it could not be published; nothing has changed then."""
        policy = self._overrides.add(self._read, change)
        if policy.digest != self._wanted.digest:
            self._wanted = policy
            self._put_in_force(policy)
        elif self._wanted is self.policy:
            return
        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(done)
        try:
            await done
        except RuntimeError:
            self._overrides.discard(change)
            raise

    def changes(self) -> tuple[tuple[Change, tuple[str, ...]], ...]:
        """What the source was asked to change at run time, and the fields that each change sets."""
        return self._source.changes()

    async def change(self, change: Change) -> None:
        """Have the source change what a TrafficPolicy says; returns when it is in force. Raises PolicyRefused, and then
        nothing has changed, and RuntimeError where it could not be published."""
        done: asyncio.Future[None] = self._loop.create_future()

        def made(found: Changed | PolicyRefused) -> None:
            self._loop.call_soon_threadsafe(self._changed, found, done)

        self._follower.change(change, made)
        await done

    def push(self, policy: Policy, warnings: tuple[str, ...] = ()) -> None:
        """What the source says now, whole; parts that have not changed are best the same objects as before."""
        self._loop.call_soon_threadsafe(self._take, policy, warnings)

    def refuse(self, errors: tuple[str, ...]) -> None:
        """What the source says now is wrong."""
        self._loop.call_soon_threadsafe(self._refuse, errors)

    def published(self, policy: Policy) -> None:
        """It is in force."""
        if policy is not self.policy:
            _log.info("configuration %s is in force: %d destinations", policy.digest, len(policy.outbound))
        self.policy = policy
        if policy is self._wanted:
            # One that was overtaken is a part of the later one.
            self._release(None)

    def unpublished(self, policy: Policy, defect: Exception) -> None:
        """It could not be published: what was in force before stays."""
        if policy is self._wanted:
            self._wanted = self.policy
            self._release(RuntimeError(f"it could not be published: {defect!r}"))
        self._refuse((f"internal error: {defect!r}",))

    def _take(self, policy: Policy, warnings: tuple[str, ...]) -> None:
        self.refused, self.warnings, self.loaded_at = None, warnings, time.time()
        self._told(True)
        self._read = policy
        policy, unfit = self._overrides.reloaded(policy)
        for warning in (*warnings, *unfit):
            _log.warning("%s", warning)
        if policy.digest == self._wanted.digest:
            _log.info("configuration read again: nothing changed (%s)", policy.digest)
            return
        self._wanted = policy
        self._put_in_force(policy)

    def _changed(self, found: Changed | PolicyRefused, done: "asyncio.Future[None]") -> None:
        if isinstance(found, PolicyRefused):
            if not done.done():
                done.set_exception(found)
            return
        self._read, self.warnings = found
        policy, unfit = self._overrides.on(self._read)
        for warning in (*self.warnings, *unfit):
            _log.warning("%s", warning)
        if policy.digest != self._wanted.digest:
            self._wanted = policy
            self._put_in_force(policy)
        elif self._wanted is self.policy:
            if not done.done():
                done.set_result(None)
            return
        self._waiting.append(done)

    def _refuse(self, errors: tuple[str, ...]) -> None:
        self.refused = Refused(time.time(), errors)
        self._told(False)
        _log.error(
            "the new configuration is refused, the old one (%s) stays in force: %s", self.policy.digest, errors[0]
        )
        for error in errors[1:]:
            _log.error("%s", error)

    def _release(self, wrong: RuntimeError | None) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            if done.done():
                continue
            if wrong is None:
                done.set_result(None)
            else:
                done.set_exception(wrong)
