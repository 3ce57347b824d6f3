"""Between the proxy, which decides what stands in the kernel's direct lane and may not write there, and the kernel.

The proxy tells of changes as events on its control channel; what the kernel has counted goes back as requests
(proxy/core/lower/kernel_messages.py, kernel_reports.py). Used by the companion of a proxy, and by `run`'s supervisor.
Nothing that a proxy sends is believed: what is not exactly a change is refused, said and answered, and changes nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from intercept.backends.kernel_lane import KernelLane
from intercept.errors import CaptureError
from proxy.core.lower.kernel_messages import (
    CHANGE,
    MOST_SERVICES,
    PUSHED,
    Change,
    Key,
    MessageError,
    ToldService,
    read_change,
)
from proxy.core.lower.kernel_reports import Counted, Seen, requests
from tidegate.beside import carried

ALL_ENDED = 8192
"""As many as the kernel keeps (bpf/include/direct/maps.h)."""
SOME_ENDED = 512
"""Of each second, for a log: telling of a connection costs more than having it, so telling of all would be what limits
the lane. The counters have them all."""
LIVE_AT_ONCE = 1024

Request = dict[str, Any]


class Courier:
    """Carries changes down and counts up. say: for what goes wrong, a line each. ended_at_once: how many connections
    that have ended are told one by one at each call of `requests`."""

    def __init__(self, lane: KernelLane, say: Callable[[str], None], ended_at_once: int) -> None:
        self._lane = lane
        self._ended_at_once = ended_at_once
        self._say = say
        self._said: str | None = None
        self._next_count = 0.0
        self._next_look = 0.0
        self._incoming: list[Change] = []
        """The parts of a change that is not complete yet."""
        self._refused: int | None = None
        """The version of the change that was refused last."""
        self._services: dict[Key, ToldService] = {}
        """All that the proxy wants in the kernel."""
        self._straight: frozenset[int] = frozenset()
        self._differing: set[Key] | None = None
        """What of it the kernel may not have yet; None: any of it."""
        self._overdue: int | None = None
        """The change that the kernel has not taken yet."""
        self.filled = False
        """Whether the kernel has taken a change."""

    def hear(self, message: Mapping[str, Any] | MessageError) -> Request | None:
        """Take what has come from the proxy; returns what is to be answered."""
        if isinstance(message, MessageError):
            return self._refuse(message, None)
        return self.deliver(message) if message.get("event") == CHANGE else None

    def deliver(self, event: Mapping[str, Any]) -> Request | None:
        """Take the proxy's event to the kernel; what is to be answered, None: the change is not complete. What can't be
        put there is said and tried again at the next call of `requests`."""
        version = event.get("version")
        if self._refused is not None and version == self._refused and event.get("begin") is not True:
            return None  # the rest of a change that was refused
        try:
            part = read_change(event)
            if part.begin:
                self._incoming = []
            self._check(part)
            self._incoming.append(part)
        except MessageError as wrong:
            return self._refuse(wrong, version)
        if not part.last:
            return None
        self._take(self._incoming)
        self._incoming = []
        return self._push(part.version)

    def _refuse(self, wrong: MessageError, version: Any) -> Request:
        self._incoming = []
        self._refused = version if type(version) is int else None
        self._complain(f"a change of the direct lane is refused: {wrong}")
        return _answer(self._refused or 0, str(wrong), refused=True)

    def _check(self, part: Change) -> None:
        if self._incoming and self._incoming[0].version != part.version:
            raise MessageError(f"version: {part.version} begins before {self._incoming[0].version} is complete")
        parts = [*self._incoming, part]
        count = sum(len(one.services) for one in parts) + (0 if parts[0].begin else len(self._services))
        if count > MOST_SERVICES:
            raise MessageError(f"services: {count} are too many: the direct lane takes {MOST_SERVICES}")

    def _take(self, parts: list[Change]) -> None:
        for part in parts:
            if part.begin:
                self._services.clear()
                self._differing = None
            new = {(one.ip, one.port): one for one in part.services}
            self._services |= new
            for key in part.gone:
                self._services.pop(key, None)
            if self._differing is not None:
                self._differing.update(new, part.gone)
            self._straight = self._straight if part.straight is None else part.straight

    def _push(self, version: int) -> Request:
        self._overdue = version
        try:
            if self._differing is None:
                self._lane.push([carried.service(told) for told in self._services.values()])
            elif self._differing:
                here = self._differing & self._services.keys()
                services = [carried.service(self._services[key]) for key in here]
                self._lane.exchange(services, self._differing - here)
            self._lane.push_inbound(self._straight)
        except CaptureError as error:
            self._complain(f"the direct lane was not changed: {error}")
            return _answer(version, str(error))
        self.filled, self._differing, self._overdue, self._said = True, set(), None, None
        return _answer(version, None)

    def _complain(self, text: str) -> None:
        if text != self._said:
            self._say(text)
        self._said = text

    def open_connections(self) -> int:
        """How many connections of the direct lane the kernel has not ended. Their counts and ends are still to come."""
        try:
            return len(self._lane.live())
        except CaptureError:
            return 0  # the capture has gone, and tells nothing any more

    def requests(self) -> Iterator[Request]:
        """What is to be told to the proxy now. Call it about once a second."""
        if self._overdue is not None:
            yield self._push(self._overdue)
        if not self.filled:
            return
        try:
            counters = self._look_at_counters()
            ended = [carried.ended(one) for one in self._lane.ended(self._ended_at_once)]
            live = self._look_at_live()
        except CaptureError:
            return  # the capture has gone: its watcher says so
        yield from requests(counters, ended, live)

    def _look_at_counters(self) -> list[Counted]:
        """Those that have changed. Changes wait meanwhile, so looks take a twentieth of the time."""
        began = time.monotonic()
        if began < self._next_count:
            return []
        found = [carried.counters(one) for one in self._lane.telemetry()]
        found += [carried.inbound(one) for one in self._lane.telemetry_inbound()]
        now = time.monotonic()
        self._next_count = now + 20 * (now - began)
        return found

    def _look_at_live(self) -> list[Seen] | None:
        """None: not yet again. Every socket of the namespace is looked at, so looks take a fiftieth of the time."""
        began = time.monotonic()
        if began < self._next_look:
            return None
        live = [carried.live(one) for one in self._lane.live()[:LIVE_AT_ONCE]]
        now = time.monotonic()
        self._next_look = now + 50 * (now - began)
        return live


def _answer(version: int, error: str | None, *, refused: bool = False) -> Request:
    """refused: the change is not kept, so what comes next can't build on it."""
    return {"op": PUSHED, "version": version, "error": error, "refused": refused}
