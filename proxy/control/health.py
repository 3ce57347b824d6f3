"""Whether the proxy is of use to the workload, as readiness tells it."""

import logging

from proxy.lanes.drain import HANDED_OVER, SERVING, Drain
from proxy.lanes.publish import Publisher

_log = logging.getLogger("tidegate.proxy")


class Readiness:
    """Belongs to the event loop. `capture_problem` is what the companion told last of the capture that feeds us; None:
    it works, or nobody looks after it."""

    def __init__(self, drain: Drain, publisher: Publisher) -> None:
        self.capture_problem: str | None = None
        self._drain = drain
        self._publisher = publisher

    def set_capture(self, problem: str | None) -> None:
        if problem != self.capture_problem:
            if problem is None:
                _log.info("capture works again")
            else:
                _log.error("capture is broken: %s", problem)
        self.capture_problem = problem

    def state(self) -> str:
        """ "serving", or why we don't: a proxy that capture does not reach is of no use to the workload."""
        if self._drain.state == HANDED_OVER:
            return SERVING  # by the proxy that took over; the question came on a connection from before
        if self._drain.state != SERVING:
            return self._drain.state
        if self.capture_problem is not None:
            return f"capture broken: {self.capture_problem}"
        return self._publisher.behind or SERVING
