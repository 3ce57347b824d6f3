"""Handing over to a proxy that takes over: it is shown our sockets, says when it is ready, and we step back.

Until it has said so we serve as before, so its death costs nothing. For some time after that we stand by: when it dies
we serve again. Then, or when it lets us go, we leave the sockets to it for good, and end with our last connection.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from proxy.control.channel import ControlConnection, ControlError, Operation
from proxy.lanes.drain import HANDED_OVER, SERVING, Drain
from proxy.lanes.splice.listening import Listening
from proxy.start.take_over import PROTOCOL, RELEASE, TAKE_OVER, TAKEN

STAND_BY_S = 10.0
"""How long we could serve again; the drain's time, where that is shorter. Clients that keep idle connections to us are
let be as long: each answer asks them to come anew, so none meets an end that it was not told of."""

_log = logging.getLogger("tidegate.proxy")


class Part(Protocol):
    """What accepts, and can let another process do so in its place."""

    def step_back(self) -> None: ...
    def take_back(self) -> None: ...


class HandOver:
    """Belongs to the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        drain: Drain,
        listening: Listening,
        others: Iterable[int],
        *,
        stand_by_s: float,
        bound_to: str,
        left: Callable[[], None],
    ) -> None:
        """others: the descriptors of all sockets but the lanes' listeners. bound_to: whose proxy this is, if it can't
        be handed over, or empty. left: called when nothing is taken back any more."""
        self.parts: tuple[Part, ...] = ()
        """What accepts besides the lanes."""
        self._loop = loop
        self._drain = drain
        self._listening = listening
        self._others = tuple(others)
        self._stand_by_s = stand_by_s
        self._bound_to = bound_to
        self._left = left
        self._successor: ControlConnection | None = None
        self._timer: asyncio.TimerHandle | None = None

    def operations(self, channel: ControlConnection) -> dict[str, Operation]:
        """What a tool, which is root or our own user, may ask for."""

        def take_over(request: Mapping[str, Any]) -> Any:
            return self._show(channel, request)

        def taken(_: Mapping[str, Any]) -> Any:
            self._only(channel)
            self._step_back()
            return {"ok": True, "held": self._drain.outstanding()}

        def release(_: Mapping[str, Any]) -> Any:
            self._only(channel)
            self._leave()
            return {"ok": True}

        return {TAKE_OVER: take_over, TAKEN: taken, RELEASE: release}

    def lost(self, channel: ControlConnection) -> None:
        """A tool's connection has ended."""
        if channel is not self._successor:
            return
        self._successor = None
        if self._drain.take_back():
            self._stop_timer()
            for part in self.parts:
                part.take_back()
            _log.error("the proxy that took over has died: this one serves again")
        elif self._drain.state == SERVING:
            self._listening.shared = False
            _log.warning("the proxy that wanted to take over has gone before it did: this one goes on")

    def _show(self, channel: ControlConnection, request: Mapping[str, Any]) -> Any:
        if request.get("protocol") != PROTOCOL:
            raise ControlError(
                f"it hands over by version {PROTOCOL} of the protocol, not by {request.get('protocol')!r}"
            )
        if self._bound_to:
            raise ControlError(f"it belongs to {self._bound_to} and ends with it")
        if self._drain.state != SERVING:
            raise ControlError("it is draining and has closed its listeners; start again when it has ended")
        if self._successor is not None:
            raise ControlError("another proxy is taking over from it at this moment")
        fds = [*self._listening.descriptors(), *self._others]
        answered = channel.answer_with({"ok": True, "protocol": PROTOCOL}, fds)
        self._successor = channel
        self._listening.shared = True
        _log.info("another proxy has been shown our %d sockets", len(fds))
        return answered

    def _only(self, channel: ControlConnection) -> None:
        if channel is not self._successor:
            raise ControlError("ask to take over first")

    def _step_back(self) -> None:
        if self._drain.handed_over:
            raise ControlError("it has handed over already")
        for part in self.parts:
            part.step_back()
        self._drain.hand_over()
        _log.info("handed over; standing by for %g s", self._stand_by_s)
        self._timer = self._loop.call_later(self._stand_by_s, self._leave)

    def _leave(self) -> None:
        self._stop_timer()
        self._successor = None
        if self._drain.state == HANDED_OVER:
            self._left()
            self._drain.leave()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
