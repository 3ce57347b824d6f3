"""The totals of /totals, from the engine's counters of requests and everybody's counters of connections."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cext.engine.exchange_records import SeriesCounts
from cext.engine.exchanges import Exchanges
from proxy.core.lanes import Direction, Lane
from proxy.core.report.totals import JsonRow, Key, Totals, rows, summed
from proxy.telemetry.databases import DatabaseCounts
from proxy.telemetry.request_counts import Group
from proxy.telemetry.sources import Kept

SLICE = 200
"""Rows, until the event loop gets its turn."""


@dataclass(frozen=True, slots=True)
class TotalsView:
    """Costs nothing while nobody asks. group: what a group's number stands for; None where it is not known any more."""

    exchanges: Exchanges
    group: Callable[[int], Group | None]
    kept: Callable[[], Iterable[Kept]]
    databases: DatabaseCounts

    async def rows(self) -> list[JsonRow]:
        parts: list[tuple[Key, Totals]] = []
        for some in self.exchanges.counters():
            parts += [self._of_requests(one) for one in some if one.requests]
            await asyncio.sleep(0)
        for number, one in enumerate(self.kept()):
            if one.verdict.lane != Lane.PARSED:
                parts.append(_of_connections(one))
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        parts += self.databases.totals()
        return list(rows(summed(parts)))

    def _of_requests(self, one: SeriesCounts) -> tuple[Key, Totals]:
        group = self.group(one.group) if one.group else None
        direction = Direction.INBOUND if one.inbound else Direction.OUTBOUND
        key = Key(direction, one.service or "-", one.route or "-", group.endpoint if group else "", str(Lane.PARSED))
        outbound = direction is Direction.OUTBOUND
        return key, Totals(
            requests=one.requests,
            failed=one.requests if one.status >= 500 or one.status in (0, 5) else 0,
            bytes_sent=one.request_bytes if outbound else one.response_bytes,
            bytes_received=one.response_bytes if outbound else one.request_bytes,
            durations=list(one.durations),
        )


def _of_connections(one: Kept) -> tuple[Key, Totals]:
    verdict = one.verdict
    service = str(verdict.service) if verdict.service else "-"
    endpoint = str(verdict.upstream) if verdict.upstream.ip else ""
    outbound = one.direction is Direction.OUTBOUND
    return Key(one.direction, service, "-", endpoint, str(verdict.lane)), Totals(
        connections=one.opened,
        failed=one.failures,
        open=one.opened - sum(one.ended.values()),
        bytes_sent=one.to_upstream if outbound else one.to_downstream,
        bytes_received=one.to_downstream if outbound else one.to_upstream,
    )
