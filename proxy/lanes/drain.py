"""Ending well: stop accepting, let connections finish, reset what is left at the deadline."""

import asyncio
import logging
from collections.abc import Callable

from proxy.lanes.punted.connections import Connections
from proxy.lanes.splice.lane import SpliceLane

GRACE_S = 1.0
"""How long aborted connections may take to be reported by the engine."""
SETTLE_S = 0.02
CONNECTING_S = 1.0
"""How long a workload that has ended may have a connection that is not made yet: longer than a SYN that got lost."""

SERVING = "serving"
HANDED_OVER = "handed over"
"""Another process serves the listeners. What is held goes on, and until `leave` the listeners can be taken back."""
DRAINING = "draining"
DRAINED = "drained"

_log = logging.getLogger("tidegate.proxy")


class Drain:
    """Belongs to the event loop. on_drained is called once, on_exit once, both from the loop or from `begin`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        lane: SpliceLane,
        connections: Connections,
        on_drained: Callable[[], None],
        on_exit: Callable[[], object],
    ) -> None:
        self.state = SERVING
        self.handed_over = False
        """Another process has taken over, so nothing that both have in common is ours to change."""
        self.begins: Callable[[], None] = lambda: None
        """Called when we no longer serve, whether we drain or have handed over."""
        self._loop = loop
        self._lane = lane
        self._connections = connections
        self._on_drained = on_drained
        self._on_exit = on_exit
        self._exit = False
        self._timer: asyncio.TimerHandle | None = None
        self._workload_ended_at: float | None = None
        self._settling: asyncio.TimerHandle | None = None

    def begin(self, timeout_s: float, *, then_exit: bool, workload_ended: bool = False) -> None:
        """Drain for at most timeout_s. Called again, the earlier deadline counts, and one wish to exit is enough.

        workload_ended: nobody is left to read answers, so a connection ends when what the workload sent is delivered.
        """
        first_wish = then_exit and not self._exit
        self._exit = self._exit or then_exit
        if self.state == DRAINED:
            if first_wish:
                self._on_exit()
            return
        if self.state in (SERVING, HANDED_OVER):
            self.begins()
            self.state = DRAINING
            self._lane.close()
            _log.info("draining %d connections for at most %g s", self._lane.outstanding(), timeout_s)
        self._arm(timeout_s)
        if workload_ended and self._workload_ended_at is None:
            self._workload_ended_at = self._loop.time()
            self._settle(self._workload_ended_at)
        self.look()

    def outstanding(self) -> int:
        """Connections that are held."""
        return self._lane.outstanding()

    def hand_over(self) -> None:
        """Another process serves the listeners from now on. Nothing is cut: there is no deadline."""
        self.handed_over = True
        if self.state == SERVING:
            self.begins()
            self.state = HANDED_OVER
            self._lane.step_back()

    def take_back(self) -> bool:
        """That process has died: serve again. False: we are ending, and can't."""
        if self.state != HANDED_OVER:
            return False
        self.handed_over = False
        self.state = SERVING
        self._lane.take_back()
        return True

    def leave(self) -> None:
        """That process does without us: exit when the last connection has ended, however long it takes."""
        if self.state == HANDED_OVER:
            self.state, self._exit = DRAINING, True
            self._lane.close()
            _log.info("waiting for the end of %d connections", self._lane.outstanding())
            self.look()

    def begin_soon(self, timeout_s: float, *, then_exit: bool, workload_ended: bool = False) -> None:
        """`begin` from the loop's next round, for a caller who has to answer first."""
        self._loop.call_soon(lambda: self.begin(timeout_s, then_exit=then_exit, workload_ended=workload_ended))

    def _settle(self, workload_ended_at: float) -> None:
        """Again and again: connections still come out of the backlogs, and others get connected."""
        late = self._loop.time() - workload_ended_at >= CONNECTING_S
        self._lane.settle(give_up_connecting=late)
        self._connections.settle(give_up_connecting=late)
        self._settling = self._loop.call_later(SETTLE_S, self._settle, workload_ended_at)

    def _arm(self, timeout_s: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= self._loop.time() + timeout_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(timeout_s, self._deadline)

    def look(self) -> None:
        """To be called whenever connections have ended."""
        if self.state == DRAINING and self._lane.outstanding() == 0:
            self._finish()

    def _deadline(self) -> None:
        _log.warning("the drain's time is over: resetting %d connections", self._lane.outstanding())
        self._timer = self._loop.call_later(GRACE_S, self._finish)
        self._lane.abort_all()
        self._connections.abort_all()

    def _finish(self) -> None:
        if self.state == DRAINED:
            return
        self.state = DRAINED
        for timer in (self._timer, self._settling):
            if timer is not None:
                timer.cancel()
        self._on_drained()
        if self._exit:
            self._on_exit()
