"""What keeps the lanes going: taking in what the engine has to tell, and once a second what time brings about."""

import asyncio

from cext.engine.engine import Engine
from proxy.lanes.drain import Drain
from proxy.lanes.held import HeldProbes
from proxy.lanes.punted.connections import Connections
from proxy.lanes.splice.lane import SpliceLane
from proxy.lanes.splice.watch import EngineWatch
from proxy.telemetry.metrics import PAUSES
from proxy.telemetry.observer import Observer
from proxy.telemetry.requests import Requests

TICK_S = 1.0


class Upkeep:
    """Belongs to the event loop. Works from `start` to `stop`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        engine: Engine,
        splice: SpliceLane,
        punted: Connections,
        *,
        held: HeldProbes,
        drain: Drain,
        observer: Observer,
        requests: Requests,
    ) -> None:
        self._loop = loop
        self._splice = splice
        self._punted = punted
        self._held = held
        self._drain = drain
        self._observer = observer
        self._requests = requests
        self._watch = EngineWatch(loop, engine, self._collect, self.take_records)
        self._pauses = splice.pauses()
        self._dropped_mirrors = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._watch.start()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """Before the engine's close."""
        if self._timer is not None:
            self._timer.cancel()
        self._watch.stop()

    def take_records(self) -> None:
        """Requests and connections that have ended, also those whose records wait for company."""
        self._requests.take()
        self._splice.take_records()
        self._drain.look()

    def forgotten(self) -> None:
        """A punted connection has gone without having been relayed."""
        self._splice.forget()
        self._drain.look()

    def _collect(self) -> None:
        """A relay of a punted connection has ended, or a connection has been punted."""
        self._punted.collect()
        self._splice.take_punts()
        self._drain.look()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self._held.release_expired()
        self._splice.tidy()
        dropped = self._splice.mirrors()[-1]
        if dropped > self._dropped_mirrors:
            self._observer.mirrors_dropped(dropped - self._dropped_mirrors)
        self._dropped_mirrors = dropped
        before, self._pauses = self._pauses, self._splice.pauses()
        for reason, earlier, now in zip(PAUSES, before, self._pauses, strict=True):
            if now > earlier:
                self._observer.paused(reason)
