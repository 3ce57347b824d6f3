"""The proxy that serves a run, whichever process it is at the moment, and what it has told."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intercept.backends.kernel_lane import KernelLane
from tidegate.supervise.proxy_flags import Ports, proxy_flags
from tidegate.supervise.proxy_process import ProxyFailed, ProxyProcess, asked_to_end
from tidegate.supervise.requests import Requests
from tidegate.supervise.settings import RunSettings

if TYPE_CHECKING:
    from tidegate.beside.courier import Courier

FLAPPING_S = 2.0
"""A proxy that dies sooner than this after its start is not started for ever."""
RESTARTS = 3
COUNT_S = 1.0
FILLED_S = 10.0
"""The direct lane's first change is in the kernel by then, or the command starts without it."""


class Serving:
    """Owns the proxy process. `records`: the connections that proxies have told of which have ended themselves."""

    def __init__(
        self,
        settings: RunSettings,
        folder: Path,
        say: Callable[[str], None],
        announce: Callable[[int | None], None] = lambda _: None,
    ) -> None:
        """Start a proxy in the cgroup `folder`. announce: told of each proxy's admin port. Raises ProxyFailed."""
        self._announce = announce
        self._settings = settings
        self._folder = folder
        self._say = say
        self._earlier: list[dict[str, Any]] = []
        self._earlier_requests = Requests()
        self._news = (0, 0)
        """How many of the process' connections and requests `news` has told."""
        self._short_lives = 0
        self._courier: Courier | None = None
        self._lane: KernelLane | None = None
        self._counted_at = 0.0
        self._ports = Ports(*settings.fixed_ports)
        self._start()

    @property
    def process(self) -> ProxyProcess:
        return self._process

    @property
    def ports(self) -> Ports:
        return self._ports

    @property
    def is_up(self) -> bool:
        return self._process.fileno() >= 0

    @property
    def carries_direct_lane(self) -> bool:
        """Whether `tell_counted` has something to do."""
        return self._courier is not None

    @property
    def records(self) -> list[dict[str, Any]]:
        return self._earlier + self._process.records

    @property
    def requests(self) -> Requests:
        return self._earlier_requests + self._process.requests

    def news(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Connections and requests that have been told of since the last time."""
        records, requests = self._process.records, self._process.requests.kept
        connections, answered = self._news
        self._news = (len(records), len(requests))
        return records[connections:], requests[answered:]

    def forget_told(self) -> None:
        """For a caller that reports nothing: neither connections nor requests gather for as long as it lives."""
        self._process.records.clear()
        self._process.requests = Requests()
        self._earlier, self._earlier_requests = [], Requests()

    def hear(self) -> bool:
        """Take in what the proxy tells; when it has ended, start another one. False: `process` is another one now, or
        none serves any more."""
        if self._process.receive():
            self._deliver_changes()
            return True
        self._replace()
        return False

    def begin_direct(self, lane: KernelLane | None) -> None:
        """Have the kernel balance what it can, from the command's first connection on. None: the mode has no such
        lane."""
        self._lane = lane
        if lane is None or not self._settings.config:
            return
        if self._courier is None:
            from tidegate.beside.courier import ALL_ENDED, Courier

            self._courier = Courier(lane, self._say, ALL_ENDED)  # the report has every connection
        self._process.request("direct-follow", available=True)
        if not self._process.wait_for(self._is_filled, FILLED_S):
            self._say(f"the direct lane was not filled within {FILLED_S:g} s: connections go by the proxy until it is")

    def tell_counted(self, *, now: bool = False) -> None:
        """Every COUNT_S, or now: tell the proxy what the kernel has counted."""
        if self._courier is None or not self.is_up or not (now or time.monotonic() - self._counted_at >= COUNT_S):
            return
        self._counted_at = time.monotonic()
        with contextlib.suppress(ProxyFailed):  # `hear` sees to it
            for request in self._courier.requests():
                self._process.request(request.pop("op"), **request)
            self._deliver_changes()

    def finish(self, signals: int) -> None:
        """The command has ended: deliver what it sent, gather every record, and let the proxy end. A signal that comes
        at the signalfd `signals` and asks to end cuts the delivery short."""
        with contextlib.suppress(ProxyFailed, OSError):
            self._wait_for_direct(signals)
            self.tell_counted(now=True)
            self._process.deliver(self._settings.drain_timeout_s, signals)
        self._process.release()

    def close(self) -> None:
        self._process.close()

    def _wait_for_direct(self, signals: int) -> None:
        """The kernel goes on to deliver what the command has sent by the direct lane, and tells of a connection when it
        is over."""
        deadline = time.monotonic() + self._settings.drain_timeout_s
        pause_s = 0.001
        while left := self._courier.open_connections() if self._courier else 0:
            if time.monotonic() >= deadline or asked_to_end(signals, pause_s):
                self._say(f"{left} connections of the direct lane are still open: the report lacks them")
                return
            pause_s = min(2 * pause_s, 0.05)

    def _start(self) -> None:
        self._process = ProxyProcess(self._folder, proxy_flags(self._settings, self._ports))
        self._ports = Ports(self._process.outbound_port, self._process.inbound_port, self._process.dns_port or 0)
        self._started_at = time.monotonic()
        self._news = (0, 0)
        self._announce(self._process.admin_port)

    def _replace(self) -> None:
        dead = self._process
        code = dead.close()
        lived = time.monotonic() - self._started_at
        self._short_lives = self._short_lives + 1 if lived < FLAPPING_S else 0
        if self._short_lives >= RESTARTS:
            self._say(f"the proxy ended again (exit code {code}) and is not started any more: connections are refused")
            return
        try:
            self._start()
        except (ProxyFailed, OSError) as error:
            self._say(f"the proxy ended (exit code {code}) and cannot be started again: {error}")
            return
        self._earlier += dead.records
        self._earlier_requests += dead.requests
        self._say(f"the proxy ended (exit code {code}); its open connections were cut; another one serves now")
        with contextlib.suppress(ProxyFailed):
            self.begin_direct(self._lane)

    def _is_filled(self) -> bool:
        self._deliver_changes()
        return self._courier is not None and self._courier.filled

    def _deliver_changes(self) -> None:
        while self._courier is not None and self._process.changes:
            answer = self._courier.deliver(self._process.changes.pop(0))
            if answer is not None:
                self._process.request(answer.pop("op"), **answer)
