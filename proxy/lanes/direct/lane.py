"""The direct lane as the proxy sees it. The proxy may not write to the kernel's maps and decides what stands in them;
whoever may follows it on the control channel: is told of every change, and tells what the kernel has counted."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from zlib import crc32

from proxy.control.channel import ControlConnection, ControlError, Operation
from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.close_reason import CloseReason
from proxy.core.decide.verdict import NOWHERE, Verdict
from proxy.core.lanes import Direction
from proxy.core.lower.to_kernel import BalancedService, EndpointCounts, Member
from proxy.core.report.record import ConnectionRecord

_log = logging.getLogger("tidegate.proxy")
Key = tuple[int, UpstreamAddress]
"""The number of a service and one of its endpoints; INBOUND and a port alone."""
INBOUND = 0
"""In place of a service's number: the workload's own port."""
_NUMBERS = (1 << 31) - 1


class DirectLane:
    """Belongs to the event loop. changed: called when the lane becomes available, or no longer is; it is to publish
    what there is then. ended: told of each connection that the kernel saw end."""

    def __init__(self, changed: Callable[[], None], ended: Callable[[ConnectionRecord], None]) -> None:
        self.available = False
        self._changed = changed
        self._ended = ended
        self._follower: ControlConnection | None = None
        self._services: tuple[BalancedService, ...] = ()
        self._straight: list[int] = []
        self._live: list[ConnectionRecord] = []
        self._numbers: dict[tuple[str, int], int] = {}
        self._members: dict[Key, Member] = {}
        self._asked: dict[int, OriginalDestination] = {}
        self._counts: dict[Key, EndpointCounts] = {}
        self._before: dict[Key, EndpointCounts] = {}
        """Of earlier captures: each begins to count at 0, which shows by counts that have gone back."""

    def publish(self, services: tuple[BalancedService, ...], straight: Mapping[int, Verdict]) -> None:
        """What is to be in the kernel, outbound and inbound. What was there is remembered: its connections live on."""
        self._services = services
        self._straight = sorted(straight)
        for port, verdict in straight.items():
            own = UpstreamAddress(Address("", port))
            self._members[INBOUND, own] = Member(own, 0, verdict)
        for one in services:
            number = self._number(one.ip, one.port)
            self._asked[number] = OriginalDestination(Address(one.ip, one.port))
            for member in (*one.members, Member(NOWHERE, 0, one.verdict)):
                self._members[number, member.endpoint] = member
        self._tell()

    def _number(self, ip: str, port: int) -> int:
        """The same in each proxy's life, for the kernel goes on counting by it from one to the next."""
        number = self._numbers.get((ip, port))
        if number is None:
            number = crc32(f"{ip} {port}".encode()) % _NUMBERS + 1
            while number in self._asked:
                number = number % _NUMBERS + 1
            self._numbers[ip, port] = number
        return number

    def operations(self, connection: ControlConnection) -> dict[str, Operation]:
        """The commands of one control connection that belong to this lane."""

        def follow(request: Mapping[str, Any]) -> Any:
            available = request.get("available")
            if not isinstance(available, bool):
                raise ControlError("'available' is true or false")
            newcomer = self._follower is not connection
            self._follower = connection
            if available != self.available:
                self.available = available
                _log.info("the direct lane is %s", "available" if available else "not available any more")
                self._changed()
            elif newcomer:
                self._tell()
            return {"ok": True}

        def counted(request: Mapping[str, Any]) -> Any:
            self._take_counts(_rows(request, "counters"))
            for row in _rows(request, "ended"):
                record = self._record(row)
                if record is not None:
                    self._ended(record)
            if request.get("begin") is True:
                self._live.clear()
            self._live += filter(None, map(self._record, _rows(request, "live")))
            return {"ok": True}

        return {"direct-follow": follow, "direct-counted": counted}

    def lost(self, connection: ControlConnection) -> None:
        """The connection has gone. The kernel goes on by what it was told last."""
        if connection is self._follower:
            self._follower = None

    def counts(self) -> Iterator[tuple[int, Member, EndpointCounts]]:
        """Of every endpoint so far."""
        for (number, endpoint), counts in self._all():
            member = self._members.get((number, endpoint))
            if member is not None:
                yield number, member, counts

    def live(self) -> list[ConnectionRecord]:
        """Open connections as of a moment ago."""
        return self._live if self._follower is not None else []

    def _all(self) -> Iterator[tuple[Key, EndpointCounts]]:
        for key in {*self._before, *self._counts}:
            yield key, self._before.get(key, EndpointCounts()) + self._counts.get(key, EndpointCounts())

    def _tell(self) -> None:
        if self._follower is not None and self.available:
            messages = [one.as_message(self._numbers[one.ip, one.port]) for one in self._services]
            self._follower.tell("direct-services", services=messages, straight=self._straight)

    def _take_counts(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            number, endpoint = row.get("service"), _address(row, "endpoint")
            if type(number) is not int:
                raise ControlError("'service' is a number")
            key, now = (number, UpstreamAddress(endpoint)), _counts(row)
            last = self._counts.get(key, EndpointCounts())
            if now.is_behind(last):
                self._before[key] = self._before.get(key, EndpointCounts()) + last
            self._counts[key] = now

    def _record(self, row: Mapping[str, Any]) -> ConnectionRecord | None:
        """None: of a service that we know nothing of, which a former proxy has left in the kernel."""
        number, endpoint = row.get("service"), UpstreamAddress(_address(row, "endpoint"))
        if type(number) is not int:
            raise ControlError("'service' is a number")
        inbound = number == INBOUND
        key = UpstreamAddress(Address("", endpoint.port)) if inbound else endpoint
        member = self._members.get((number, key))
        if member is None:
            return None
        counts = _counts(row)
        ending = row.get("close_reason")
        try:
            started, age = float(row["started_at"]), float(row["age_s"])
            reason = None if ending is None else CloseReason(ending)
        except (KeyError, TypeError, ValueError) as wrong:
            raise ControlError(f"a connection's record lacks something: {wrong}") from None
        return ConnectionRecord(
            id=0,
            direction=Direction.INBOUND if inbound else Direction.OUTBOUND,
            peer=ClientAddress(_address(row, "client")),
            destination=OriginalDestination(endpoint) if inbound else self._asked[number],
            upstream=endpoint,
            verdict=member.verdict,
            to_upstream=counts.bytes_received if inbound else counts.bytes_sent,
            to_downstream=counts.bytes_sent if inbound else counts.bytes_received,
            state="closed" if reason is not None else "relaying" if row.get("established") else "connecting",
            started_at=started,
            age_s=age,
            close_reason=reason,
        )


def _rows(request: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = request.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ControlError(f"{key!r} is a list of objects")
    return rows


def _counts(row: Mapping[str, Any]) -> EndpointCounts:
    try:
        return EndpointCounts.of(row)
    except ValueError as wrong:
        raise ControlError(str(wrong)) from None


def _address(row: Mapping[str, Any], key: str) -> Address:
    value = row.get(key)
    if not isinstance(value, list) or len(value) != 2 or type(value[0]) is not str or type(value[1]) is not int:
        raise ControlError(f"{key!r} is an address and a port")
    return Address(value[0], value[1])
