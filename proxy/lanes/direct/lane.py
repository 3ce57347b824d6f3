"""The direct lane as the proxy sees it. The proxy decides what stands in the kernel's maps and may not write there; a
follower on the control channel that may is told of every change, and tells what the kernel has counted."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

from proxy.core.addresses import Address, ClientAddress, OriginalDestination, UpstreamAddress
from proxy.core.decide.verdict import NOWHERE, Verdict
from proxy.core.lanes import Direction
from proxy.core.lower import kernel_reports
from proxy.core.lower.kernel_reports import INBOUND, Counted, Seen
from proxy.core.lower.to_kernel import BalancedService, Member
from proxy.core.policy.policy import Key
from proxy.core.report.counts import EndpointCounts
from proxy.core.report.record import CLOSED, CONNECTING, RELAYING, ConnectionRecord
from proxy.lanes.direct.numbers import Numbers
from proxy.lanes.direct.telling import Telling

_log = logging.getLogger("tidegate.proxy")
MemberKey = tuple[int, UpstreamAddress]
"""The number of a service and one of its endpoints; INBOUND and a port alone."""


class Follower(Protocol):
    """Who takes changes to the kernel."""

    def tell(self, event: str, **values: Any) -> None: ...


class DirectLane:
    """Belongs to the event loop. changed: called when the lane becomes available, or no longer is; it is to publish
    what there is then. ended: told of each connection that the kernel saw end. soon: the loop's `call_soon`.
    expected: a companion was started that will say whether the lane is available."""

    def __init__(
        self,
        changed: Callable[[], None],
        ended: Callable[[ConnectionRecord], None],
        soon: Callable[[Callable[[], None]], Any],
        *,
        expected: bool = False,
    ) -> None:
        self.available = False
        self._awaited = expected
        self._changed = changed
        self._ended = ended
        self._follower: Follower | None = None
        self._live: list[ConnectionRecord] = []
        self._numbers = Numbers()
        self._telling = Telling(self._numbers.of, soon)
        self._members: dict[int, dict[UpstreamAddress, Member]] = {}
        """By the number of the service and the endpoint; those that have gone stay, for their connections live on."""
        self._by_cluster: dict[str, set[int]] = {}
        """Numbers of services that send to a cluster."""
        self._counts: dict[MemberKey, EndpointCounts] = {}
        self._before: dict[MemberKey, EndpointCounts] = {}
        """Of earlier captures: each begins to count at 0, which shows by counts that have gone back."""

    @property
    def behind(self) -> str | None:
        """Why what was published is not in the kernel yet; None: it is, or the lane is not available."""
        if self._awaited:
            return "the companion has not told yet whether the kernel takes the direct lane"
        return self._telling.behind if self.available else None

    @property
    def settled(self) -> bool:
        """The kernel has all that was published."""
        return self._telling.settled

    def exchange(
        self, services: Mapping[Key, BalancedService], gone: Collection[Key], straight: Mapping[int, Verdict]
    ) -> Iterator[None]:
        """Publish what differs, outbound, and all inbound ports; a step at each item, to be taken within the loop's
        time. What was there is remembered: its connections live on."""
        for port, verdict in straight.items():
            own = UpstreamAddress(Address("", port))
            self._members.setdefault(INBOUND, {})[own] = Member(own, 0, verdict)
        for one in services.values():
            number = self._numbers.of(one.ip, one.port)
            known = self._members.setdefault(number, {})
            known.update((member.endpoint, member) for member in one.members)
            known[NOWHERE] = Member(NOWHERE, 0, one.verdict)
            for cluster in {member.of.cluster for member in one.members}:
                self._by_cluster.setdefault(cluster, set()).add(number)
            yield
        self._telling.exchange(services, gone, frozenset(straight))

    def followed(self, follower: Follower, *, available: bool) -> None:
        """The follower says whether the kernel takes the lane."""
        newcomer, differs = self._follower is not follower, available != self.available
        self._follower = follower
        self._awaited = False
        if newcomer or differs:
            self._telling.begin_anew(follower.tell if available else None, published=not differs)
        if differs:
            self.available = available
            _log.info("the direct lane is %s", "available" if available else "not available any more")
            self._changed()

    def answered(self, follower: Follower, version: int, error: str | None, *, refused: bool) -> None:
        """The follower has taken a change to the kernel, or could not."""
        if follower is self._follower:
            self._telling.answered(version, error, refused=refused)

    def counted(self, report: kernel_reports.Report) -> None:
        """What the kernel has counted so far, the connections that ended, and those that are open."""
        self._take_counts(report.counters)
        for record in filter(None, map(self._record, report.ended)):
            self._ended(record)
        if report.begin:
            self._live.clear()
        self._live += filter(None, map(self._record, report.live))

    def lost(self, follower: Follower) -> None:
        """The follower has gone. The kernel goes on by what it was told last."""
        if follower is self._follower:
            self._follower = None
            self._telling.begin_anew(None, published=True)

    def step_back(self) -> None:
        """Another proxy decides from now on what stands in the kernel. Undone by `take_back`."""
        self._telling.begin_anew(None, published=True)

    def take_back(self) -> None:
        if self._follower is not None and self.available:
            self._telling.begin_anew(self._follower.tell, published=True)

    def counts(self) -> Iterator[tuple[int, Member, EndpointCounts]]:
        """Of every endpoint so far."""
        for (number, endpoint), counts in self._all():
            member = self._members.get(number, {}).get(endpoint)
            if member is not None:
                yield number, member, counts

    def counts_of(self, cluster: str) -> Iterator[tuple[UpstreamAddress, EndpointCounts]]:
        """The same of one cluster; an endpoint comes once for each service that sends to it."""
        for number in self._by_cluster.get(cluster, ()):
            for endpoint, member in self._members[number].items():
                if member.of.cluster == cluster:
                    key = (number, endpoint)
                    yield endpoint, self._before.get(key, EndpointCounts()) + self._counts.get(key, EndpointCounts())

    def live(self) -> list[ConnectionRecord]:
        """Open connections as of a moment ago."""
        return self._live if self._follower is not None else []

    def _all(self) -> Iterator[tuple[MemberKey, EndpointCounts]]:
        for key in {*self._before, *self._counts}:
            yield key, self._before.get(key, EndpointCounts()) + self._counts.get(key, EndpointCounts())

    def _take_counts(self, counters: Iterable[Counted]) -> None:
        for one in counters:
            key, now = (one.service, UpstreamAddress(one.endpoint)), one.counts
            last = self._counts.get(key, EndpointCounts())
            if now.is_behind(last):
                self._before[key] = self._before.get(key, EndpointCounts()) + last
            self._counts[key] = now

    def _record(self, seen: Seen) -> ConnectionRecord | None:
        """None: of an unknown service, which a former proxy has left in the kernel."""
        endpoint, inbound = UpstreamAddress(seen.endpoint), seen.service == INBOUND
        key = UpstreamAddress(Address("", endpoint.port)) if inbound else endpoint
        member = self._members.get(seen.service, {}).get(key)
        if member is None:
            return None
        counts = seen.counts
        return ConnectionRecord(
            id=0,
            direction=Direction.INBOUND if inbound else Direction.OUTBOUND,
            peer=ClientAddress(seen.client),
            destination=OriginalDestination(endpoint if inbound else self._numbers.asked(seen.service)),
            upstream=endpoint,
            verdict=member.verdict,
            to_upstream=counts.bytes_received if inbound else counts.bytes_sent,
            to_downstream=counts.bytes_sent if inbound else counts.bytes_received,
            state=CLOSED if seen.ending is not None else RELAYING if seen.established else CONNECTING,
            started_at=seen.started_at,
            age_s=seen.age_s,
            close_reason=seen.ending,
        )
