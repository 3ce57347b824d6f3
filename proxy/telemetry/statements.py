"""Requests to databases one by one, taken from the engine while somebody looks at `tap`."""

import asyncio
import time
from collections.abc import Callable

from cext.engine.databases import MOST, Databases, Statement
from cext.engine.values import SocketAddress
from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.report.statement import StatementRecord
from proxy.telemetry.databases import Place

EACH_S = 0.1
"""As often are they taken: at most MOST of them, so that the event loop has time for others."""


class Statements:
    """Belongs to the event loop. tell, missed: get what was taken, and how many were lost."""

    def __init__(
        self,
        databases: Databases,
        place: Callable[[int], Place | None],
        tell: Callable[[StatementRecord], None],
        missed: Callable[[int], None],
    ) -> None:
        self._databases = databases
        self._place = place
        self._tell = tell
        self._missed = missed
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, on: bool) -> None:
        self._databases.tell(on)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(EACH_S, self._take) if on else None

    def _take(self) -> None:
        taken, dropped = self._databases.take()
        ago = time.time() - time.monotonic()
        for one in taken:
            record = self._record(one, ago)
            if record is not None:
                self._tell(record)
        if dropped:
            self._missed(dropped)
        if self._timer is not None:
            more = len(taken) == MOST
            self._timer = asyncio.get_running_loop().call_later(EACH_S / 4 if more else EACH_S, self._take)

    def _record(self, one: Statement, ago: float) -> StatementRecord | None:
        place = self._place(one.group)
        if place is None:
            return None
        return StatementRecord(
            started_at=(one.ended_us - one.duration_us) / 1e6 + ago,
            direction=place.direction,
            database=one.database,
            kind=one.kind,
            failed=one.failed,
            duration_us=one.duration_us,
            source=ClientAddress(_address(one.peer)),
            original_destination=OriginalDestination(_address(one.original)),
            upstream=UpstreamAddress(_address(one.upstream)),
            service=place.service,
        )


def _address(place: SocketAddress | None) -> Address:
    return Address("", 0) if place is None else Address(place.ip, place.port, place.zone)
