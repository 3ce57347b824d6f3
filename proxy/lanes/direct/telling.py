"""Telling the follower of changes: one change at a time, the next when it has said that the kernel has the last. What
comes meanwhile is gathered, so a slow follower costs no more than what differs."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol

from proxy.core.lower.kernel_messages import CHANGE, changes
from proxy.core.lower.to_kernel import BalancedService
from proxy.core.policy.policy import Key

_log = logging.getLogger("tidegate.proxy")


class Tell(Protocol):
    def __call__(self, event: str, **values: Any) -> None: ...


class Telling:
    """Belongs to the event loop. number: a service's, by the address and port that clients dial. soon: calls a function
    in the loop's next round."""

    def __init__(self, number: Callable[[str, int], int], soon: Callable[[Callable[[], None]], Any]) -> None:
        self._number = number
        self._soon = soon
        self._tell: Tell | None = None
        self._services: dict[Key, BalancedService] = {}
        self._straight: frozenset[int] = frozenset()
        self._published = False
        self._everything = True
        """The follower knows nothing yet: the next change is all there is."""
        self._differing: set[Key] = set()
        self._ports_differ = False
        self._version = 0
        self._answered = 0
        self._messages: Iterator[dict[str, Any]] | None = None
        """The rest of the change that is being told."""
        self._filled = False
        """The follower has taken everything once."""
        self._error: str | None = None

    @property
    def behind(self) -> str | None:
        """Why the kernel has not got what was published; None: it has, but for a change that is under way."""
        if self._tell is None:
            return "no companion takes the direct lane's changes to the kernel"
        if self._error is not None:
            return f"the direct lane was not changed: {self._error}"
        return None if self._filled else "the direct lane is being filled"

    @property
    def settled(self) -> bool:
        """Nothing that was published is on its way to the kernel."""
        return self._version == self._answered and not (self._everything or self._differing or self._ports_differ)

    def begin_anew(self, tell: Tell | None, *, published: bool) -> None:
        """Another follower, or none. published: what is known already is for this one; else what comes next is."""
        self._tell = tell
        self._published = published
        self._everything = True
        self._filled = False
        self._messages = None
        self._answered = self._version
        self._error = None
        self._go_on()

    def exchange(
        self, services: Mapping[Key, BalancedService], gone: Collection[Key], straight: frozenset[int]
    ) -> None:
        """Tell what differs: services by address, those that have gone, and all straight ports."""
        self._services.update(services)
        for key in gone:
            self._services.pop(key, None)
        self._differing.update(services, gone)
        self._ports_differ = self._ports_differ or straight != self._straight
        self._straight = straight
        self._published = True
        self._go_on()

    def answered(self, version: int, error: str | None, *, refused: bool) -> None:
        """The follower has taken a change to the kernel; or could not and goes on trying; or has refused it, and then
        the next change is everything again."""
        if version != self._version or (self._messages is not None and not refused):
            return
        if error is not None and error != self._error:
            _log.error("the direct lane was not changed: %s", error)
        self._answered, self._error = version, error
        self._filled = self._filled or error is None
        if refused:
            self._messages, self._everything = None, True
            self._published = False  # not until there is something new: it would be refused again
        self._go_on()

    def _go_on(self) -> None:
        if self._tell is None or not self._published or self._version > self._answered:
            return
        if not (self._everything or self._differing or self._ports_differ):
            return
        keys = self._services.keys() if self._everything else self._differing & self._services.keys()
        found = [self._services[key] for key in keys]
        gone = () if self._everything else tuple(self._differing - self._services.keys())
        ports = self._straight if self._everything or self._ports_differ else None
        self._version += 1
        told = (one.told(self._number(one.ip, one.port)) for one in found)
        self._messages = changes(self._version, told, gone, ports, begin=self._everything)
        self._everything = self._ports_differ = False
        self._differing.clear()
        self._send()

    def _send(self) -> None:
        """One message a round of the loop, which has other things to do."""
        if self._messages is None or self._tell is None:
            return
        message = next(self._messages)
        if message["last"]:
            self._messages = None
        else:
            self._soon(self._send)
        self._tell(CHANGE, **message)
